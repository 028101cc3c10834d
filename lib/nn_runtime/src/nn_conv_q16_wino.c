/* Convolution of width 3, any height, by Winograd's F(2, 3) for inputs that are never negative: two outputs
 * of a row, a tile, from four products a channel where the direct form needs six. With the input d0..d3 under
 * a tile and the weights a, b, c
 *
 *   x1 = d1 + d2 - 2^15     w1 = a + b + c
 *   x2 = d2 - d1            w2 = a - b + c
 *   x0 = d0 - d2            w0 = 2 a
 *   x3 = d3 - d1            w3 = 2 c
 *
 *   m[k] = sum over the channels and the rows of the kernel of x[k] * w[k]
 *
 *   2 y0 = m1 + m2 + m0 + n      2 y1 = m1 - m2 + m3 + n      n = 2^15 * sum of w1 over the same
 *
 * (S. Winograd, Arithmetic complexity of computations, 1980; points 0, 1, -1, infinity.) The x fit int16_t
 * because 0 <= d < 2^15. Sums may wrap: all is exact modulo 2^32, and 2 y fits.
 *
 * Tiles go in blocks of `groups` times 8; their transforms stay in scratch memory while all filters pass. The
 * weights of two filters are transformed once for each block. */
#include "nn_requant.h"
#include "nn_simd.h"
#include "nn_wino_q16.h"
#include <stdbool.h>

#define NN_PART __attribute__((noinline)) static

/* Four columns of 2 * pairs channels, `column` elements apart, to x [products][product / 4][4]: one of the
 * four tiles. */
NN_PART void nn_wino_input(const int16_t *NN_RESTRICT from, uint32_t column, uint32_t pairs, uint32_t product,
                           uint32_t *NN_RESTRICT x) {
    for (const uint32_t *end = x + 4u * pairs; x < end; x += 4) {
        const uint32_t d1 = nn_load_word(from + column);
        const uint32_t d2 = nn_load_word(from + 2u * column);
        const uint32_t d3 = nn_load_word(from + 3u * column);
        const uint32_t d0 = nn_load_word(from);
        x[product] = nn_sub_halves(d2, d1);
        x[0] = nn_add_halves(d1, d2) ^ 0x80008000u;
        x[3u * product] = nn_sub_halves(d3, d1);
        x[2u * product] = nn_sub_halves(d0, d2);
        from += 2;
    }
}

/* The weights of two filters, w [2][pairs][3] (pairs of all rows), to [products][pairs][2]. */
NN_PART void nn_wino_weights(const uint32_t *w, uint32_t pairs, uint32_t *to) {
    const uint32_t *second = w + 3u * pairs;
    uint32_t *to2 = to + 2u * pairs;
    uint32_t *to0 = to2 + 2u * pairs;
    uint32_t *to3 = to0 + 2u * pairs;
#if NN_DSP
/* 12 cycles; the compiler takes 16 with its additions to pointers. */
#define NN_TRANSFORM(from)                                                                                   \
    "ldr %[c], [" from ", #8]\n"                                                                             \
    "ldr %[b], [" from ", #4]\n"                                                                             \
    "ldr %[a], [" from "], #12\n"                                                                            \
    "sadd16 %[d], %[c], %[c]\n"                                                                              \
    "str %[d], [%[to3]], #4\n"                                                                               \
    "sadd16 %[c], %[a], %[c]\n"                                                                              \
    "sadd16 %[a], %[a], %[a]\n"                                                                              \
    "str %[a], [%[to0]], #4\n"                                                                               \
    "sadd16 %[d], %[c], %[b]\n"                                                                              \
    "str %[d], [%[to]], #4\n"                                                                                \
    "ssub16 %[c], %[c], %[b]\n"                                                                              \
    "str %[c], [%[to2]], #4\n"
    uint32_t a, b, c, d;
    __asm__ volatile(
        "1:\n" NN_TRANSFORM("%[w]") NN_TRANSFORM("%[second]") "cmp %[w], %[end]\n"
                                                              "bne 1b\n"
        : [w] "+&r"(w), [second] "+&r"(second), [to] "+&r"(to), [to2] "+&r"(to2), [to0] "+&r"(to0),
          [to3] "+&r"(to3), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)
        : [end] "r"(w + 3u * pairs)
        : "memory", "cc");
#else
    for (uint32_t i = 0; i < 2u * pairs; i++) {
        const uint32_t *from = i % 2u == 0u ? w + i / 2u * 3u : second + i / 2u * 3u;
        const uint32_t sum = nn_add_halves(from[0], from[2]);
        to[i] = nn_add_halves(sum, from[1]);
        to2[i] = nn_sub_halves(sum, from[1]);
        to0[i] = nn_double_halves(from[0]);
        to3[i] = nn_double_halves(from[2]);
    }
#endif
}

/* The columns under the tile that starts at `start` (position in the input, minus padding), with zeros; all
 * of them without a row. */
NN_PART void nn_wino_gather(const int16_t *row, const nn_conv_shape *shape, int32_t start, uint32_t pairs,
                            int16_t *to) {
    memset(to, 0, 4u * 4u * pairs);
    for (int32_t i = 0; i < 4 && row != NULL; i++) {
        if (start + i >= 0 && start + i < shape->in_w) {
            memcpy(to + (uint32_t)i * 2u * pairs, row + (uint32_t)(start + i) * shape->in_c,
                   shape->in_c * sizeof(int16_t));
        }
    }
}

/* Groups of tiles of which not all outputs of two filters are wanted: `outputs` of each, `filters` of two. */
NN_PART void nn_wino_some(nn_wino_q16 *work, uint32_t outputs, uint32_t filters, uint32_t out_c, int16_t *y) {
    int16_t all[8][2];
    work->y = all[0];
    work->y_step = (uint32_t)sizeof all[0];
    work->groups = 1u;
    while (outputs > 0u) {
        const uint32_t count = outputs < 8u ? outputs : 8u;
        nn_wino_4x2_q16(work);
        for (uint32_t i = 0; i < count; i++) {
            memcpy(y, all[i], filters * sizeof(int16_t));
            y += out_c;
        }
        work->x += 16u * work->pairs;
        outputs -= count;
    }
}

void nn_conv_q16_wino(const int16_t *x, const uint32_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_requant *requant, uint32_t groups,
                      uint32_t *NN_RESTRICT scratch, int16_t *y) {
    const uint32_t channels = shape->in_c;
    const uint32_t out_c = shape->out_c;
    const uint32_t pairs = (channels + 1u) / 2u;
    const uint32_t all = shape->k_h * pairs; /* the rows of the kernel are more channels */
    uint32_t *weights = scratch + groups * all * 32u;
    int16_t *gathered = (int16_t *)(weights + all * 8u);
    nn_wino_q16 work;
    work.w = weights;
    work.pairs = all;
    work.least = nn_pair(requant->min, requant->min);
    work.most = nn_pair(requant->max, requant->max);
    work.clamp = requant->max != INT16_MAX   ? NN_CLAMP_RANGE
                 : requant->min == 0         ? NN_CLAMP_TYPE_POSITIVE
                 : requant->min == INT16_MIN ? NN_CLAMP_TYPE
                                             : NN_CLAMP_RANGE;
    for (uint32_t oh = 0; oh < shape->out_h; oh++) {
        for (uint32_t first = 0; first < shape->out_w; first += 16u * groups) {
            const uint32_t left = shape->out_w - first;
            const uint32_t outputs = left < 16u * groups ? left : 16u * groups;
            int32_t ih = (int32_t)(oh * shape->stride_h) - shape->pad_top;
            for (uint32_t kh = 0; kh < shape->k_h; kh++) {
                const bool in_map = ih >= 0 && ih < shape->in_h;
                const int16_t *row = in_map ? x + (uint32_t)ih * shape->in_w * channels : NULL;
                /* the last tiles of the last group may lie behind the row */
                for (uint32_t tile = 0; tile < (outputs + 7u) / 8u * 4u; tile++) {
                    const int32_t start = (int32_t)(first + 2u * tile) - shape->pad_left;
                    uint32_t *to = scratch + (tile / 4u * 4u * all + kh * pairs) * 4u + tile % 4u;
                    if (in_map && channels % 2u == 0u && start >= 0 && start + 4 <= shape->in_w) {
                        nn_wino_input(row + (uint32_t)start * channels, channels, pairs, 4u * all, to);
                    } else {
                        nn_wino_gather(row, shape, start, pairs, gathered);
                        nn_wino_input(gathered, 2u * pairs, pairs, 4u * all, to);
                    }
                }
                ih += shape->dilation_h;
            }
            for (uint32_t f = 0; f < out_c; f += 2u) {
                const uint32_t filters = f + 1u < out_c ? 2u : 1u;
                nn_wino_weights(w + f * all * 3u, all, weights);
                work.x = scratch;
                for (uint32_t i = 0; i < 2u; i++) {
                    const uint32_t filter = i < filters ? f + i : f; /* beside the last: any */
                    work.bias[i] = bias[filter];
                    work.shifts[i] = nn_filter_shift(requant, filter) + 1;
                }
                work.groups = filters == 2u ? outputs / 8u : 0u;
                work.y = y + first * out_c + f;
                work.y_step = out_c * (uint32_t)sizeof(int16_t);
                const uint32_t done = 8u * work.groups;
                if (done > 0u) {
                    nn_wino_4x2_q16(&work);
                    work.x += done * all * 2u;
                }
                if (done < outputs) {
                    nn_wino_some(&work, outputs - done, filters, out_c, work.y + done * out_c);
                }
            }
        }
        y += shape->out_w * out_c;
    }
}
