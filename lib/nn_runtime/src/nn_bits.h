/* Reading packed weights: two's complement of `width` bits, 2..16, least significant bit first. */
#ifndef NN_BITS_H
#define NN_BITS_H

#include <stdint.h>

typedef struct {
    const uint8_t *next; /* the first byte that is not in `bits` */
    uint32_t bits;       /* what was read and not used, the next bit lowest */
    uint32_t count;      /* how many they are */
    uint32_t width;
} nn_bits;

/* Bytes of a filter of n weights. */
static inline uint32_t nn_bits_bytes(uint32_t n, uint32_t width) {
    return (n * width + 7u) / 8u;
}

/* A reader at the weight `index` of the filter at w. */
static inline nn_bits nn_bits_at(const uint8_t *w, uint32_t index, uint32_t width) {
    const uint32_t position = index * width;
    nn_bits reader = {w + position / 8u, 0u, 0u, width};
    if (position % 8u > 0u) {
        reader.bits = (uint32_t)*reader.next++ >> position % 8u;
        reader.count = 8u - position % 8u;
    }
    return reader;
}

static inline int16_t nn_bits_next(nn_bits *reader) {
    const uint32_t unused = 32u - reader->width;
    while (reader->count < reader->width) {
        reader->bits |= (uint32_t)*reader->next++ << reader->count;
        reader->count += 8u;
    }
    const int32_t value = (int32_t)(reader->bits << unused) >> unused;
    reader->bits >>= reader->width;
    reader->count -= reader->width;
    return (int16_t)value;
}

#endif
