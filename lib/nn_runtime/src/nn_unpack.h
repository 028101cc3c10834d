/* Packed weights of two filters as the words that the inner loops read. */
#ifndef NN_UNPACK_H
#define NN_UNPACK_H

#include <stdint.h>

/* Where the weights of the next two filters are. */
typedef struct {
    const uint32_t *next;
    uint32_t bits; /* 2..16 */
} nn_packed;

/* Words of flash that hold `words` pairs. */
static inline uint32_t nn_packed_words(uint32_t words, uint32_t bits) {
    return (2u * words * bits + 31u) / 32u;
}

/* The next `words` words, an even number, a pair of int16_t each; then on to the next two filters. */
void nn_unpack(nn_packed *w, uint32_t words, uint32_t *to);

/* Its loop in assembly, for any width but 15: four words a turn, 8 cycles each. It loads the members in this
 * order. */
typedef struct {
    const uint8_t *from;
    uint32_t *to;
    const uint32_t *last; /* place of the last four words */
    uint32_t bytes[3];    /* from the first of four words to the others, in w */
    uint32_t shifts[3];   /* of the bits of the others in their bytes */
    uint32_t up;          /* 16 - bits */
    uint32_t mask, offset;
} nn_unpack_work;

void nn_unpack_fours(const nn_unpack_work *work);

#endif
