/* Convolution of width 3 by Winograd's F(4, 3): four outputs of a row, a tile, from six products a channel
 * where the direct form needs twelve. With the input d0..d5 under a tile and the weights a, b, c
 *
 *   x0 = 4 d0 - 5 d2 + d4                         w0 = a
 *   x1, x2 = (4 d2 - d4) +- (4 d1 - d3)           w1, w2 = (a + c) +- b
 *   x3, x4 = (d4 - d2) +- 2 (d3 - d1)             w3, w4 = (a + 4 c) +- 2 b
 *   x5 = 4 d1 - 5 d3 + d5                         w5 = c
 *
 *   m[k] = sum over the channels of x[k] * w[k]
 *
 *   y0 = (6 m0 + 4 (m1 + m2) + (m3 + m4)) / 24    y1 = (2 (m1 - m2) + (m3 - m4)) / 12
 *   y2 = ((m1 + m2) + (m3 + m4)) / 6              y3 = ((m1 - m2) + 2 (m3 - m4) + 6 m5) / 6
 *
 * (S. Winograd, Arithmetic complexity of computations, 1980; points 0, 1, -1, 2, -2, infinity.) |x| <= 1280
 * and |w| <= 896 fit int16_t. Sums may wrap: all is exact modulo 2^32, and the divisions are exact when 24 y
 * fits 32 bits: shift right, times the inverse of 3 modulo 2^32.
 *
 * Tiles go in blocks of `groups` times 4; their transforms stay in scratch memory while all filters pass. The
 * weights of two filters are transformed once for each block. */
#include "nn_requant.h"
#include "nn_simd.h"
#include "nn_wino.h"

#define NN_PART __attribute__((noinline)) static

#define NN_INVERSE_OF_3 0xAAAAAAABu

/* The transform of six pairs of channels, to x [6][4]: one of the four tiles. */
static inline void nn_wino_input_pair(uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3, uint32_t d4,
                                      uint32_t d5, uint32_t *x) {
    const uint32_t e = nn_sub_halves(d4, d2);
    const uint32_t f = nn_double_halves(nn_sub_halves(d3, d1));
    x[12] = nn_add_halves(e, f);
    x[16] = nn_sub_halves(e, f);
    x[20] = nn_sub_halves(nn_sub_halves(d5, d3), nn_double_halves(f));
    x[0] = nn_add_halves(nn_double_halves(nn_double_halves(nn_sub_halves(d0, d2))), e);
    const uint32_t u = nn_sub_halves(nn_double_halves(nn_double_halves(d2)), d4);
    const uint32_t v = nn_sub_halves(nn_double_halves(nn_double_halves(d1)), d3);
    x[4] = nn_add_halves(u, v);
    x[8] = nn_sub_halves(u, v);
}

/* Six columns of 4 * words channels, `column` bytes apart, to x [pairs][6][4]: one of the four tiles. */
NN_PART void nn_wino_input(const int8_t *from, uint32_t column, uint32_t words, uint32_t *x) {
    for (; words > 0u; words--) {
        const int8_t *at = from + column;
        const uint32_t c0 = nn_load_word(from);
        const uint32_t c1 = nn_load_word(at);
        const uint32_t c2 = nn_load_word(at += column);
        const uint32_t c3 = nn_load_word(at += column);
        const uint32_t c4 = nn_load_word(at += column);
        const uint32_t c5 = nn_load_word(at += column);
        nn_wino_input_pair(nn_even_bytes(c0), nn_even_bytes(c1), nn_even_bytes(c2), nn_even_bytes(c3),
                           nn_even_bytes(c4), nn_even_bytes(c5), x);
        nn_wino_input_pair(nn_odd_bytes(c0), nn_odd_bytes(c1), nn_odd_bytes(c2), nn_odd_bytes(c3),
                           nn_odd_bytes(c4), nn_odd_bytes(c5), x + 24);
        x += 48;
        from += 4;
    }
}

/* The transform of a filter's weights of a pair of channels, to [6][2]. */
static inline void nn_wino_weights_pair(uint32_t a, uint32_t b, uint32_t c, uint32_t *to) {
    const uint32_t s = nn_add_halves(a, c);
    const uint32_t b2 = nn_double_halves(b);
    const uint32_t t = nn_add_halves(a, nn_double_halves(nn_double_halves(c)));
    to[0] = a;
    to[2] = nn_add_halves(s, b);
    to[4] = nn_sub_halves(s, b);
    to[6] = nn_add_halves(t, b2);
    to[8] = nn_sub_halves(t, b2);
    to[10] = c;
}

/* The weights of two filters, w [pairs][3], to [pairs][6][2]. */
NN_PART void nn_wino_weights(const uint32_t *w, uint32_t pairs, uint32_t *to) {
    for (; pairs > 0u; pairs--) {
        const uint32_t a = w[0];
        const uint32_t b = w[1];
        const uint32_t c = w[2];
        nn_wino_weights_pair(nn_even_bytes(a), nn_even_bytes(b), nn_even_bytes(c), to);
        nn_wino_weights_pair(nn_odd_bytes(a), nn_odd_bytes(b), nn_odd_bytes(c), to + 1);
        w += 3;
        to += 12;
    }
}

/* One filter of a tile: m [6], 8 apart, to the four sums. */
static inline void nn_wino_tile(const int32_t *m, uint32_t bias, int32_t *sums) {
    const uint32_t p = (uint32_t)m[8] + (uint32_t)m[16];
    const uint32_t q = (uint32_t)m[8] - (uint32_t)m[16];
    const uint32_t r = (uint32_t)m[24] + (uint32_t)m[32];
    const uint32_t s = (uint32_t)m[24] - (uint32_t)m[32];
    const uint32_t m0 = (uint32_t)m[0];
    const uint32_t m5 = (uint32_t)m[40];
    sums[0] = (int32_t)(r + 2u * (2u * p + (m0 + 2u * m0))) >> 3;
    sums[1] = (int32_t)(s + 2u * q) >> 2;
    sums[2] = (int32_t)(p + r) >> 1;
    sums[3] = (int32_t)(q + 2u * (s + (m5 + 2u * m5))) >> 1;
    for (uint32_t i = 0; i < 4u; i++) {
        sums[i] = (int32_t)((uint32_t)sums[i] * NN_INVERSE_OF_3 + bias);
    }
}

#if NN_DSP
/* The same for the tiles from `from` to `end`, with their outputs; `saturate` is the clamp. */
#define NN_WINO_OUTPUTS(saturate)                                                                            \
    __asm__ volatile("1: ldr %[t0], [%[m], #32]\n"                                                           \
                     "ldr %[t1], [%[m], #64]\n"                                                              \
                     "ldr %[t3], [%[m], #96]\n"                                                              \
                     "ldr %[t4], [%[m], #128]\n"                                                             \
                     "add %[t2], %[t0], %[t1]\n" /* p */                                                     \
                     "sub %[t0], %[t0], %[t1]\n" /* q */                                                     \
                     "add %[t1], %[t3], %[t4]\n" /* r */                                                     \
                     "sub %[t3], %[t3], %[t4]\n" /* s */                                                     \
                     "ldr %[t5], [%[m], #160]\n"                                                             \
                     "ldr %[t4], [%[m]], #8\n"                                                               \
                     "add %[t5], %[t5], %[t5], lsl #1\n"                                                     \
                     "add %[t4], %[t4], %[t4], lsl #1\n"                                                     \
                     "add %[t4], %[t4], %[t2], lsl #1\n"                                                     \
                     "add %[t4], %[t1], %[t4], lsl #1\n"                                                     \
                     "asr %[t4], %[t4], #3\n"                                                                \
                     "add %[t2], %[t2], %[t1]\n"                                                             \
                     "asr %[t2], %[t2], #1\n"                                                                \
                     "add %[t1], %[t3], %[t0], lsl #1\n"                                                     \
                     "asr %[t1], %[t1], #2\n"                                                                \
                     "add %[t5], %[t5], %[t3]\n"                                                             \
                     "add %[t0], %[t0], %[t5], lsl #1\n"                                                     \
                     "asr %[t0], %[t0], #1\n" NN_WINO_OUT("%[t4]", saturate) NN_WINO_OUT("%[t1]", saturate)  \
                         NN_WINO_OUT("%[t2]", saturate) NN_WINO_OUT("%[t0]", saturate) "cmp %[m], %[end]\n"  \
                                                                                       "bne 1b\n"            \
                     : [m] "+&r"(from), [y] "+&r"(to), [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2),       \
                       [t3] "=&r"(t3), [t4] "=&r"(t4), [t5] "=&r"(t5)                                        \
                     : [end] "r"(end), [inverse] "r"(NN_INVERSE_OF_3), [bias] "r"(bias[f]),                  \
                       [step] "r"(out_c), [shift] "r"(shift)                                                 \
                     : "memory", "cc")
#define NN_WINO_OUT(sum, saturate)                                                                           \
    "mla " sum ", " sum ", %[inverse], %[bias]\n"                                                            \
    "asr " sum ", " sum ", %[shift]\n" saturate(sum) "strb " sum ", [%[y]]\n"                                \
                                                     "add %[y], %[y], %[step]\n"

#define NN_USAT(sum) "usat " sum ", #7, " sum "\n"
#define NN_SSAT(sum) "ssat " sum ", #8, " sum "\n"

#endif

/* Filters f to f_end, one or two, of `tiles` tiles whose outputs are all wanted: m [6][4][2] to y, out_c from
 * output to output. */
NN_PART void nn_wino_outputs(const int32_t *m, const int32_t *bias, uint32_t f, uint32_t f_end,
                             const nn_requant *requant, uint32_t tiles, uint32_t out_c, int8_t *y) {
    const int32_t min = requant->min;
    const int32_t max = requant->max;
    for (; f < f_end && tiles > 0u; f++) {
        const int32_t shift = nn_filter_shift(requant, f);
        const int32_t *end = m + 2u * tiles;
        int8_t *to = y;
#if NN_DSP
        if (max == INT8_MAX && (min == 0 || min == INT8_MIN)) {
            const int32_t *from = m;
            int32_t t0, t1, t2, t3, t4, t5;
            if (min == 0) {
                NN_WINO_OUTPUTS(NN_USAT);
            } else {
                NN_WINO_OUTPUTS(NN_SSAT);
            }
        } else
#endif
        {
            for (const int32_t *from = m; from < end; from += 2) {
                int32_t sums[4];
                nn_wino_tile(from, (uint32_t)bias[f], sums);
                for (uint32_t i = 0; i < 4u; i++) {
                    const int32_t sum = sums[i] >> shift;
                    *to = (int8_t)(sum < min ? min : sum > max ? max : sum);
                    to += out_c;
                }
            }
        }
        m++;
        y++;
    }
}

/* The same for the last tile of a row, of which only `count` outputs exist. */
NN_PART void nn_wino_last(const int32_t *m, const int32_t *bias, uint32_t f, uint32_t f_end,
                          const nn_requant *requant, uint32_t count, uint32_t out_c, int8_t *y) {
    int8_t all[4][2];
    nn_wino_outputs(m, bias, f, f_end, requant, 1u, 2u, all[0]);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(y + i * out_c, all[i], f_end - f);
    }
}

/* The columns under the tile that starts at `start` (position in the input, minus padding), with zeros. */
NN_PART void nn_wino_gather(const int8_t *row, const nn_conv_shape *shape, int32_t start, uint32_t words,
                            int8_t *to) {
    memset(to, 0, 6u * 4u * words);
    for (int32_t i = 0; i < 6; i++) {
        if (start + i >= 0 && start + i < shape->in_w) {
            memcpy(to + (uint32_t)i * 4u * words, row + (uint32_t)(start + i) * shape->in_c, shape->in_c);
        }
    }
}

void nn_conv_q8_wino(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                     const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                     uint32_t groups, uint32_t *NN_RESTRICT scratch, int8_t *NN_RESTRICT y) {
    const uint32_t channels = shape->in_c;
    const uint32_t out_c = shape->out_c;
    const uint32_t words = (channels + 3u) / 4u;
    const uint32_t pairs = 2u * words;
    const uint32_t tiles = 4u * groups;
    uint32_t *weights = scratch + groups * pairs * 24u;
    int32_t *m = (int32_t *)(weights + pairs * 12u);
    int8_t *gathered = (int8_t *)(m + 48);
    for (uint32_t oh = 0; oh < shape->out_h; oh++) {
        const int8_t *row = x + oh * shape->in_w * channels;
        for (uint32_t first = 0; first < shape->out_w; first += 4u * tiles) {
            /* tiles of this block, the last ones perhaps behind the end of the row */
            const uint32_t left = (shape->out_w - first + 3u) / 4u;
            const uint32_t filled = left < tiles ? left : tiles;
            for (uint32_t tile = 0; tile < filled; tile++) {
                const int32_t start = (int32_t)(first + 4u * tile) - shape->pad_left;
                uint32_t *to = scratch + tile / 4u * pairs * 24u + tile % 4u;
                if (channels % 4u == 0u && start >= 0 && start + 6 <= shape->in_w) {
                    nn_wino_input(row + (uint32_t)start * channels, channels, words, to);
                } else {
                    nn_wino_gather(row, shape, start, words, gathered);
                    nn_wino_input(gathered, 4u * words, words, to);
                }
            }
            for (uint32_t f = 0; f < out_c; f += 2u) {
                nn_wino_weights(w + f / 2u * pairs * 3u, pairs, weights);
                for (uint32_t tile = 0; tile < filled; tile += 4u) {
                    nn_wino_sums(scratch + tile / 4u * pairs * 24u, weights, pairs, m);
                    const uint32_t outputs = shape->out_w - first - 4u * tile;
                    const uint32_t whole = outputs < 16u ? outputs / 4u : 4u;
                    int8_t *out = y + (first + 4u * tile) * out_c + f;
                    const uint32_t f_end = f + 1u < out_c ? f + 2u : out_c;
                    nn_wino_outputs(m, bias, f, f_end, requant, whole, out_c, out);
                    if (whole < 4u && outputs % 4u > 0u) {
                        nn_wino_last(m + 2u * whole, bias, f, f_end, requant, outputs % 4u, out_c,
                                     out + 4u * whole * out_c);
                    }
                }
            }
        }
        y += shape->out_w * out_c;
    }
}
