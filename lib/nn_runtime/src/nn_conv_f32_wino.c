/* Convolution of width 3, any height, by Winograd's F(4, 3): four outputs of a row, a tile, from six products
 * a channel where the direct form needs twelve. With the input d0..d5 under a tile and the weights a, b, c
 *
 *   x0 = (d0 - d2) + (d4 - d2) / 4                            w0 = a
 *   x1, x2 = (4 d2 - d4) / 6 +- (4 d1 - d3) / 6               w1, w2 = (a + c) +- b
 *   x3, x4 = (d4 - d2) / 24 +- (d3 - d1) / 12                 w3, w4 = (a + 4 c) +- 2 b
 *   x5 = (d5 - d3) - 4 (d3 - d1)                              w5 = c
 *
 *   m[k] = sum over the rows of the kernel and the channels of x[k] * w[k]
 *
 *   y0 = m0 + (m1 + m2) + (m3 + m4)        y1 = (m1 - m2) + 2 (m3 - m4)
 *   y2 = (m1 + m2) + 4 (m3 + m4)           y3 = m5 + (m1 - m2) + 8 (m3 - m4)
 *
 * (S. Winograd, Arithmetic complexity of computations, 1980; points 0, 1, -1, 2, -2, infinity.) Products are
 * stored in the order 1, 2, 3, 4, 0, 5: the sums of 2 go on from those of 1 and the bias, those of 4 from
 * those of 3, those of 0 and 5 from what the others give. SPEC.md has the order of all operations.
 *
 * Tiles go in blocks of `groups` times 4; their transforms stay in scratch memory while all filters pass. The
 * weights of four filters are transformed once for each block. */
#include "nn_requant.h"
#include "nn_wino_f32.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NN_PART __attribute__((noinline)) static

/* The six columns of a channel to x [6][4]: one of the four tiles. */
static inline void nn_wino_column(float d0, float d1, float d2, float d3, float d4, float d5, float *x) {
    const float e = d4 - d2;
    const float f = d3 - d1;
    x[16] = (d0 - d2) + 0.25f * e;
    x[20] = (d5 - d3) - 4.0f * f;
    const float g = 0x1.555556p-5f * e; /* 1/24 */
    const float h = 0x1.555556p-4f * f; /* 1/12 */
    x[8] = g + h;
    x[12] = g - h;
    const float u = 0x1.555556p-1f * d2 - 0x1.555556p-3f * d4; /* 2/3, 1/6 */
    const float v = 0x1.555556p-1f * d1 - 0x1.555556p-3f * d3;
    x[0] = u + v;
    x[4] = u - v;
}

/* Six columns of `channels`, `column` elements apart, to x [channels][6][4]: one of the four tiles. */
NN_PART void nn_wino_input(const float *from, uint32_t column, uint32_t channels, float *x) {
    const float *c1 = from + column;
    const float *c2 = c1 + column;
    const float *c3 = c2 + column;
    const float *c4 = c3 + column;
    const float *c5 = c4 + column;
    for (; channels >= 2u; channels -= 2u) {
        nn_wino_column(from[0], c1[0], c2[0], c3[0], c4[0], c5[0], x);
        nn_wino_column(from[1], c1[1], c2[1], c3[1], c4[1], c5[1], x + 24);
        from += 2;
        c1 += 2;
        c2 += 2;
        c3 += 2;
        c4 += 2;
        c5 += 2;
        x += 48;
    }
    if (channels > 0u) {
        nn_wino_column(*from, *c1, *c2, *c3, *c4, *c5, x);
    }
}

/* The weights of two filters and a channel, w [3][4], to [6][4]. */
static inline void nn_wino_two(const float *w, float *to) {
    const float a0 = w[0];
    const float a1 = w[1];
    const float c0 = w[8];
    const float c1 = w[9];
    const float s0 = a0 + c0;
    const float s1 = a1 + c1;
    const float four0 = 4.0f * c0;
    const float four1 = 4.0f * c1;
    to[16] = a0;
    to[17] = a1;
    to[20] = c0;
    to[21] = c1;
    const float b0 = w[4];
    const float b1 = w[5];
    const float t0 = a0 + four0;
    const float t1 = a1 + four1;
    to[0] = s0 + b0;
    to[1] = s1 + b1;
    to[4] = s0 - b0;
    to[5] = s1 - b1;
    const float two0 = b0 + b0;
    const float two1 = b1 + b1;
    to[8] = t0 + two0;
    to[9] = t1 + two1;
    to[12] = t0 - two0;
    to[13] = t1 - two1;
}

/* The weights of four filters, w [channels][3][4] (channels of all rows), to [channels][6][4]. */
NN_PART void nn_wino_weights(const float *NN_RESTRICT w, uint32_t channels, float *NN_RESTRICT to) {
    for (const float *end = to + 24u * channels; to < end; to += 24) {
        nn_wino_two(w, to);
        nn_wino_two(w + 2, to + 2);
        w += 12;
    }
}

/* The columns under the tile that starts at `start` (position in the input, minus padding), with zeros; all
 * of them without a row. */
NN_PART void nn_wino_gather(const float *row, const nn_conv_shape *shape, int32_t start, float *to) {
    memset(to, 0, 6u * shape->in_c * sizeof(float));
    for (int32_t i = 0; i < 6 && row != NULL; i++) {
        if (start + i >= 0 && start + i < shape->in_w) {
            memcpy(to + (uint32_t)i * shape->in_c, row + (uint32_t)(start + i) * shape->in_c,
                   shape->in_c * sizeof(float));
        }
    }
}

/* Groups of tiles of which not all outputs of four filters are wanted: `outputs` of each, `filters` of four.
 */
NN_PART void nn_wino_some(nn_wino_f32 *work, uint32_t outputs, uint32_t filters, uint32_t out_c, float *y) {
    float all[16][4];
    work->y = all[0];
    work->y_step = (uint32_t)sizeof all[0];
    work->groups = 1u;
    while (outputs > 0u) {
        const uint32_t count = outputs < 16u ? outputs : 16u;
        nn_wino_4x4_f32(work);
        for (uint32_t i = 0; i < count; i++) {
            memcpy(y, all[i], filters * sizeof(float));
            y += out_c;
        }
        work->x += 24u * work->channels;
        outputs -= count;
    }
}

void nn_conv_f32_wino(const float *x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_range_f32 *range, uint32_t groups,
                      float *NN_RESTRICT scratch, float *y) {
    const uint32_t channels = shape->in_c;
    const uint32_t out_c = shape->out_c;
    const uint32_t all = shape->k_h * channels; /* the rows of the kernel are more channels */
    float *weights = scratch + groups * all * 24u;
    float *gathered = weights; /* the one before the other */
    nn_wino_f32 work;
    work.w = weights;
    work.channels = all;
    work.range = *range;
    work.clamp = range->max != INFINITY ? 2u : range->min != -INFINITY ? 1u : 0u;
    for (uint32_t oh = 0; oh < shape->out_h; oh++) {
        for (uint32_t first = 0; first < shape->out_w; first += 16u * groups) {
            const uint32_t left = shape->out_w - first;
            const uint32_t outputs = left < 16u * groups ? left : 16u * groups;
            int32_t ih = (int32_t)(oh * shape->stride_h) - shape->pad_top;
            for (uint32_t kh = 0; kh < shape->k_h; kh++) {
                const bool in_map = ih >= 0 && ih < shape->in_h;
                const float *row = in_map ? x + (uint32_t)ih * shape->in_w * channels : NULL;
                /* the last tiles of the last group may lie behind the row */
                for (uint32_t tile = 0; tile < (outputs + 15u) / 16u * 4u; tile++) {
                    const int32_t start = (int32_t)(first + 4u * tile) - shape->pad_left;
                    float *to = scratch + (tile / 4u * all + kh * channels) * 24u + tile % 4u;
                    if (in_map && start >= 0 && start + 6 <= shape->in_w) {
                        nn_wino_input(row + (uint32_t)start * channels, channels, channels, to);
                    } else {
                        nn_wino_gather(row, shape, start, gathered);
                        nn_wino_input(gathered, channels, channels, to);
                    }
                }
                ih += shape->dilation_h;
            }
            for (uint32_t f = 0; f < out_c; f += 4u) {
                const uint32_t filters = out_c - f < 4u ? out_c - f : 4u;
                nn_wino_weights(w + f * all * 3u, all, weights);
                memset(work.bias, 0, sizeof work.bias);
                memcpy(work.bias, bias + f, filters * sizeof(float));
                work.x = scratch;
                work.groups = filters == 4u ? outputs / 16u : 0u;
                work.y = y + first * out_c + f;
                work.y_step = out_c * (uint32_t)sizeof(float);
                const uint32_t done = 16u * work.groups;
                if (done > 0u) {
                    nn_wino_4x4_f32(&work);
                    work.x += work.groups * all * 24u;
                }
                if (done < outputs) {
                    nn_wino_some(&work, outputs - done, filters, out_c, work.y + done * out_c);
                }
            }
        }
        y += shape->out_w * out_c;
    }
}
