/* Half h of word i is field 2 i + h of w: `bits` bits from bit (2 i + h) * bits on, which hold the weight
 * plus 2^(bits - 1). A field is read with the word at the byte in which it begins, of which at least 25 bits
 * belong to it and its successors. That reads up to 3 bytes behind the last field.
 *
 * Four words are 8 * bits bits: the next four begin with a byte again, and the two fields of word j of each
 * four begin with bit 2 j * bits mod 8, an even one. So a single word holds both, but for 15 bits. Of 8 bits
 * they are bytes. */
#include "nn_unpack.h"
#include "nn_simd.h"

/* The bits from `position` on, the first lowest; the highest 7 may be missing. */
static inline uint32_t nn_bits_from(const uint8_t *w, uint32_t position) {
    return nn_load_word(w + (position >> 3)) >> (position & 7u);
}

void nn_unpack(nn_packed *w, uint32_t words, uint32_t *to) {
    const uint8_t *from = (const uint8_t *)w->next;
    const uint32_t bits = w->bits;
    const uint32_t mask = ((1u << bits) - 1u) * 0x10001u;
    const uint32_t offset = 0x10001u << (bits - 1u);
    uint32_t i = 0;
    if (bits == 8u) {
        for (const uint32_t *next = w->next; i < words; i += 2u) {
            const uint32_t four = *next++ ^ 0x80808080u;
            const uint32_t even = nn_even_bytes(four);
            const uint32_t odd = nn_odd_bytes(four);
            to[i] = nn_low_halves(even, odd);
            to[i + 1u] = nn_high_halves(even, odd);
        }
    }
#if NN_DSP
    else if (bits != 15u && words >= 4u) {
        const uint32_t two = 2u * bits;
        i = words & ~3u;
        const nn_unpack_work work = {.from = from,
                                     .to = to,
                                     .last = to + i - 4u,
                                     .bytes = {two / 8u, 2u * two / 8u, 3u * two / 8u},
                                     .shifts = {two % 8u, 2u * two % 8u, 3u * two % 8u},
                                     .up = 16u - bits,
                                     .mask = mask,
                                     .offset = offset};
        nn_unpack_fours(&work);
    }
#endif
    for (; i < words; i++) {
        const uint32_t low = nn_bits_from(from, 2u * i * bits);
        const uint32_t high = nn_bits_from(from, (2u * i + 1u) * bits);
        to[i] = nn_sub_halves(nn_low_halves(low, high) & mask, offset);
    }
    w->next += nn_packed_words(words, bits);
}
