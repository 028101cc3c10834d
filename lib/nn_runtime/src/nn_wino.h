/* The parts of the Winograd convolutions by F(4, 3) (nn_conv_wino43.inc, nn_conv_wino8_3x3.inc). A group is
 * four tiles; words of x and w hold two int16_t. */
#ifndef NN_WINO_H
#define NN_WINO_H

#include "nn_runtime.h"
#include "nn_simd.h"

#include <stdbool.h>

#define NN_PART __attribute__((noinline)) static

/* For each row, group and each of six products k
 *
 *   m[row][group][k][tile][filter] =
 *       sum over pairs of x[row][group][pair][k][tile] . w[row][pair][k][filter]                   2 filters
 *
 * pairs > 1, groups > 0, rows > 0. Sums wrap at 32 bits. */
void nn_wino_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *m, uint32_t groups,
                  uint32_t rows);

/* Down the six rows of m [6][count]: three times the four rows of sums, to m [4][count]. */
void nn_wino_rows(int32_t *m, uint32_t count);

/* Modulo 2^32. */
#define NN_INVERSE_OF_3 0xAAAAAAABu
#define NN_INVERSE_OF_9 0x38E38E39u

/* From the sums of one filter to its outputs; the assembly knows the offsets. */
typedef struct {
    const int32_t *m;           /* 0 */
    void *y;                    /* 4: four outputs a tile, one after the other, */
    uint32_t step;              /* 8: so many bytes apart */
    uint32_t inverse;           /* 12: of 3, of 9 */
    uint32_t bias;              /* 16: twice */
    int32_t shift;              /* 20: right, of twice the sum (q8, q16) */
    int32_t multiplier, offset; /* 24, 28: a8; q16: least and most of an output */
    uint32_t rows;              /* 32: of tiles, > 0; bytes from row to row: */
    uint32_t m_row, y_row;      /* 36, 40 */
} nn_wino_out;

/* All tiles of the first row up to the sum at `end`, and those of the other rows; *out is spoilt. q8:
 * saturated to 8 bits (_relu: to 0..127) after the shift; q16: to least..most. a8: twice the sum times
 * multiplier 2^-32, rounded, plus offset, minus 1 if negative, shifted, saturated to 8 bits. */
void nn_wino_outputs_q8(nn_wino_out *out, const int32_t *end);
void nn_wino_outputs_q8_relu(nn_wino_out *out, const int32_t *end);
void nn_wino_outputs_q16(nn_wino_out *out, const int32_t *end);
void nn_wino_outputs_a8(nn_wino_out *out, const int32_t *end);

/* Behind the last of `tiles` > 0 tiles. */
static inline const int32_t *nn_wino_end(const int32_t *m, uint32_t tiles) {
    return m + (tiles - 1u) / 4u * 48u + ((tiles - 1u) % 4u + 1u) * 2u;
}

/* The four sums of a tile of one filter in a row, without the bias; returns where its outputs go. m: as the
 * input and the weights make it times 1 (`inverse` of 3) or times 3 (of 9). */
static inline int8_t *nn_wino_tile(const nn_wino_out *out, uint32_t tile, uint32_t row, uint32_t inverse,
                                   int32_t *sums) {
    const int32_t *m = out->m + row * out->m_row / 4u + tile / 4u * 48u + tile % 4u * 2u;
    const uint32_t p = (uint32_t)m[8] + (uint32_t)m[16];
    const uint32_t q = (uint32_t)m[8] - (uint32_t)m[16];
    const uint32_t r = (uint32_t)m[24] + (uint32_t)m[32];
    const uint32_t s = (uint32_t)m[24] - (uint32_t)m[32];
    const uint32_t m0 = (uint32_t)m[0];
    const uint32_t m5 = (uint32_t)m[40];
    const uint32_t six[4] = {(uint32_t)((int32_t)(6u * m0 + 4u * p + r) >> 2),
                             (uint32_t)((int32_t)(2u * q + s) >> 1), p + r, q + 2u * s + 6u * m5};
    for (uint32_t i = 0; i < 4u; i++) {
        sums[i] = (int32_t)(six[i] * inverse) >> 1;
    }
    return (int8_t *)out->y + row * out->y_row + 4u * tile * out->step;
}

/* The transform of six pairs of channels to six words, `step` words apart. */
static inline void nn_wino_input_pair(uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3, uint32_t d4,
                                      uint32_t d5, uint32_t step, uint32_t *x) {
    const uint32_t e = nn_sub_halves(d4, d2);
    const uint32_t f = nn_double_halves(nn_sub_halves(d3, d1));
    x[3u * step] = nn_add_halves(e, f);
    x[4u * step] = nn_sub_halves(e, f);
    x[5u * step] = nn_sub_halves(nn_sub_halves(d5, d3), nn_double_halves(f));
    x[0] = nn_add_halves(nn_double_halves(nn_double_halves(nn_sub_halves(d0, d2))), e);
    const uint32_t u = nn_sub_halves(nn_double_halves(nn_double_halves(d2)), d4);
    const uint32_t v = nn_sub_halves(nn_double_halves(nn_double_halves(d1)), d3);
    x[step] = nn_add_halves(u, v);
    x[2u * step] = nn_sub_halves(u, v);
}

/* The transform of a filter's weights of a pair of channels to six words, `step` words apart. */
static inline void nn_wino_weights_pair(uint32_t a, uint32_t b, uint32_t c, uint32_t step, uint32_t *to) {
    const uint32_t s = nn_add_halves(a, c);
    const uint32_t b2 = nn_double_halves(b);
    const uint32_t t = nn_add_halves(a, nn_double_halves(nn_double_halves(c)));
    to[0] = a;
    to[step] = nn_add_halves(s, b);
    to[2u * step] = nn_sub_halves(s, b);
    to[3u * step] = nn_add_halves(t, b2);
    to[4u * step] = nn_sub_halves(t, b2);
    to[5u * step] = c;
}

#endif
