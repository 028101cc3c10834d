#ifdef NN_SMALL
#include "nn_type_q16.inc"

#define NN_FUNCTION nn_add_q16
#include "nn_add.inc"
#else
#include "nn_requant.h"
#include "nn_simd.h"

/* Addition two elements at a time. Elements a, b as a pair times the pair 2^left_a, 2^left_b is one
 * instruction. The half that rounding to nearest adds in front of the shift is at most 2^30; with left shifts
 * below 14 the sum stays below 2^29. */
typedef struct {
    uint32_t scales; /* 2^left_a, 2^left_b */
    int32_t half, shift;
    uint32_t least, most; /* clamp, in each half of a word */
} nn_add_scale;

__attribute__((noinline)) static void nn_add_words(const int16_t *a, const int16_t *b, uint32_t words,
                                                   const nn_add_scale *scale, int16_t *y) {
    const nn_add_scale s = *scale;
    for (const int16_t *end = y + 2u * words; y < end; y += 2) {
        const uint32_t word_a = nn_load_word(a);
        const uint32_t word_b = nn_load_word(b);
        const int32_t low = nn_smlad(nn_low_halves(word_a, word_b), s.scales, s.half) >> s.shift;
        const int32_t high = nn_smlad(nn_high_halves(word_a, word_b), s.scales, s.half) >> s.shift;
        const uint32_t sum = nn_low_halves((uint32_t)nn_saturate_16(low), (uint32_t)nn_saturate_16(high));
        nn_store_word(y, nn_min_halves(nn_max_halves(sum, s.least), s.most));
        a += 2;
        b += 2;
    }
}

/* The sum of each half of two words, saturated. */
static inline uint32_t nn_saturated_sum(uint32_t a, uint32_t b) {
#if NN_DSP
    uint32_t pair;
    __asm__("qadd16 %0, %1, %2" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
#else
    const int32_t low = (int16_t)a + (int16_t)b;
    const int32_t high = (int16_t)(a >> 16) + (int16_t)(b >> 16);
    return nn_pair(nn_saturate_16(low), nn_saturate_16(high));
#endif
}

/* All of one scale and no bound above: two words at a time. */
__attribute__((noinline)) static void nn_add_same(const int16_t *a, const int16_t *b, uint32_t words,
                                                  uint32_t least, int16_t *y) {
    for (; words >= 2u; words -= 2u) {
        const uint32_t sum0 = nn_saturated_sum(nn_load_word(a), nn_load_word(b));
        const uint32_t sum1 = nn_saturated_sum(nn_load_word(a + 2), nn_load_word(b + 2));
        nn_store_word(y, nn_max_halves(sum0, least));
        nn_store_word(y + 2, nn_max_halves(sum1, least));
        a += 4;
        b += 4;
        y += 4;
    }
    if (words > 0u) {
        nn_store_word(y, nn_max_halves(nn_saturated_sum(nn_load_word(a), nn_load_word(b)), least));
    }
}

void nn_add_q16(const int16_t *a, const int16_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
                const nn_requant *requant, int16_t *y) {
    nn_add_scale scale;
    scale.least = nn_pair(requant->min, requant->min);
    scale.most = nn_pair(requant->max, requant->max);
    uint32_t i = 0;
    if (left_a == 0u && left_b == 0u && requant->shift == 0 && requant->max == INT16_MAX) {
        nn_add_same(a, b, count / 2u, scale.least, y);
        i = count / 2u * 2u;
    } else if (left_a < 14u && left_b < 14u && requant->shift >= 0 && requant->rounding != NN_ROUND_TRUNC) {
        scale.scales = nn_pair(1 << left_a, 1 << left_b);
        scale.shift = requant->shift;
        scale.half = requant->rounding == NN_ROUND_NEAREST && scale.shift > 0 ? 1 << (scale.shift - 1) : 0;
        nn_add_words(a, b, count / 2u, &scale, y);
        i = count / 2u * 2u;
    }
    for (; i < count; i++) {
        y[i] = (int16_t)nn_requant_i32(a[i] * (1 << left_a) + b[i] * (1 << left_b), requant);
    }
}
#endif
