#ifdef NN_SMALL
#include "nn_type_q8.inc"

#define NN_FUNCTION nn_add_q8
#include "nn_add.inc"
#else
#include "nn_requant.h"
#include "nn_simd.h"

/* Four elements at a time, as unsigned numbers in halves of a word: a and b plus 128 each, a times 2^left,
 * plus a constant that makes the surplus a multiple of 2^shift; after the shift that is `surplus`. */
typedef struct {
    uint32_t scale; /* 2^left */
    uint32_t first; /* the constant, the half that rounding to nearest adds included */
    uint32_t shift;
    uint32_t mask; /* what the shift leaves of a half */
    uint32_t surplus;
    uint32_t least; /* clamp, in each byte */
} nn_add_constants;

__attribute__((noinline)) static void nn_add_words(const int8_t *a, const int8_t *b, uint32_t words,
                                                   const nn_add_constants *constants, int8_t *y) {
    const nn_add_constants c = *constants;
    for (const int8_t *end = y + 4u * words; y < end; y += 4) {
        const uint32_t word_a = nn_load_word(a) ^ 0x80808080u;
        const uint32_t word_b = nn_load_word(b) ^ 0x80808080u;
        uint32_t even = nn_add_even_unsigned(c.first, word_b) + nn_add_even_unsigned(0u, word_a) * c.scale;
        uint32_t odd = nn_add_odd_unsigned(c.first, word_b) + nn_add_odd_unsigned(0u, word_a) * c.scale;
        even = nn_sub_halves(even >> c.shift & c.mask, c.surplus);
        odd = nn_sub_halves(odd >> c.shift & c.mask, c.surplus);
        const uint32_t sum = nn_bytes(nn_saturate_halves_8(even), nn_saturate_halves_8(odd));
        nn_store_word(y, nn_max_bytes(sum, c.least));
        a += 4;
        b += 4;
    }
}

void nn_add_q8(const int8_t *a, const int8_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
               const nn_requant *requant, int8_t *y) {
    const uint32_t left = left_a > left_b ? left_a : left_b;
    uint32_t i = 0;
    if ((left_a == 0u || left_b == 0u) && left < 7u && requant->shift >= 0 && requant->shift < 13 &&
        requant->rounding != NN_ROUND_TRUNC && requant->max == INT8_MAX) {
        nn_add_constants c;
        c.shift = (uint32_t)requant->shift;
        c.scale = 1u << left;
        const uint32_t half = requant->rounding == NN_ROUND_NEAREST ? 1u << c.shift >> 1 : 0u;
        const uint32_t offset = 128u * (c.scale + 1u); /* of the sum, before the constant */
        const uint32_t surplus = (offset + (1u << c.shift) - 1u) >> c.shift;
        const uint32_t first = (surplus << c.shift) - offset + half;
        c.first = first * 0x00010001u;
        c.mask = (0xFFFFu >> c.shift) * 0x00010001u;
        c.surplus = surplus * 0x00010001u;
        c.least = (uint8_t)requant->min * 0x01010101u;
        nn_add_words(left_a > 0u ? a : b, left_a > 0u ? b : a, count / 4u, &c, y);
        i = count / 4u * 4u;
    }
    for (; i < count; i++) {
        y[i] = (int8_t)nn_requant_i32(a[i] * (1 << left_a) + b[i] * (1 << left_b), requant);
    }
}
#endif
