/* The parts of the Winograd convolutions by F(4, 3) (nn_conv_wino43.inc). A group is four tiles; words of x
 * and w hold two int16_t. */
#ifndef NN_WINO_H
#define NN_WINO_H

#include "nn_runtime.h"

#include <stdbool.h>

#define NN_PART __attribute__((noinline)) static

/* For each group and each of six products k
 *
 *   m[group][k][tile][filter] = sum over pairs of x[group][pair][k][tile] . w[pair][k][filter]     2 filters
 *
 * pairs > 1, groups > 0. Sums wrap at 32 bits. */
void nn_wino_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *m, uint32_t groups);

#define NN_INVERSE_OF_3 0xAAAAAAABu

/* From the sums of one filter to its outputs; the assembly loads the members in this order. */
typedef struct {
    const int32_t *m;
    void *y;                    /* four outputs a tile, one after the other */
    uint32_t step;              /* bytes from output to output */
    uint32_t inverse;           /* of 3 */
    uint32_t bias;              /* twice */
    int32_t shift;              /* right, of twice the sum (q8, q16) */
    int32_t multiplier, offset; /* q16: least and most of an output */
} nn_wino_out;

/* All tiles up to the sum at `end`. q8: saturated to 8 bits (_relu: to 0..127) after the shift; q16: to
 * least..most. a8: twice the sum times multiplier 2^-32, rounded, plus offset, minus 1 if negative, shifted,
 * saturated to 8 bits. */
void nn_wino_outputs_q8(const nn_wino_out *out, const int32_t *end);
void nn_wino_outputs_q8_relu(const nn_wino_out *out, const int32_t *end);
void nn_wino_outputs_q16(const nn_wino_out *out, const int32_t *end);
void nn_wino_outputs_a8(const nn_wino_out *out, const int32_t *end);

/* Behind the last of `tiles` > 0 tiles. */
static inline const int32_t *nn_wino_end(const int32_t *m, uint32_t tiles) {
    return m + (tiles - 1u) / 4u * 48u + ((tiles - 1u) % 4u + 1u) * 2u;
}

/* Behind a tile of which the next begins at the result. */
static inline const int32_t *nn_wino_next(const int32_t *m, uint32_t tile) {
    return m + (tile % 4u == 3u ? 42u : 2u);
}

/* The four sums of a tile of one filter, without the bias. */
static inline void nn_wino_tile(const int32_t *m, int32_t *sums) {
    const uint32_t p = (uint32_t)m[8] + (uint32_t)m[16];
    const uint32_t q = (uint32_t)m[8] - (uint32_t)m[16];
    const uint32_t r = (uint32_t)m[24] + (uint32_t)m[32];
    const uint32_t s = (uint32_t)m[24] - (uint32_t)m[32];
    const uint32_t m0 = (uint32_t)m[0];
    const uint32_t m5 = (uint32_t)m[40];
    const uint32_t six[4] = {(uint32_t)((int32_t)(6u * m0 + 4u * p + r) >> 2),
                             (uint32_t)((int32_t)(2u * q + s) >> 1), p + r, q + 2u * s + 6u * m5};
    for (uint32_t i = 0; i < 4u; i++) {
        sums[i] = (int32_t)(six[i] * NN_INVERSE_OF_3) >> 1;
    }
}

#endif
