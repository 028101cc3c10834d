#include "nn_mac_f32.h"
#include "nn_requant.h"
#include "nn_window.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* y = clamp(y), `count` elements. */
__attribute__((noinline)) static void nn_clamp_all(const nn_range_f32 *range, uint32_t count, float *y) {
    const float min = range->min;
    const float max = range->max;
    if (max == INFINITY) {
        for (const float *end = y + count; y < end; y++) {
            *y = *y < min ? min : *y;
        }
    } else {
        for (const float *end = y + count; y < end; y++) {
            *y = nn_clamp_f32(*y, range);
        }
    }
}

/* All filters at 6 positions or one, from loop->x to y. The last ones, if fewer than 4, by way of the stack.
 */
__attribute__((noinline)) static void nn_filters(nn_mac_f32 *loop, const float *w, const float *bias,
                                                 bool six, uint32_t out_c, float *y) {
    void (*const mac)(nn_mac_f32 *) = six ? nn_mac_6x4_f32 : nn_mac_1x4_f32;
    const uint32_t rest = out_c % 4u;
    loop->w = w;
    loop->bias = bias;
    loop->y = y;
    loop->y_step = out_c * (uint32_t)sizeof(float);
    loop->count = out_c / 4u;
    if (loop->count > 0u) {
        mac(loop);
    }
    if (rest > 0u) {
        float last[6][4];
        float last_bias[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        nn_mac_f32 group = *loop;
        memcpy(last_bias, bias + out_c - rest, rest * sizeof(float));
        group.w = w + out_c / 4u * (loop->w_filters / 4u);
        group.bias = last_bias;
        group.y = last[0];
        group.y_step = (uint32_t)sizeof last[0];
        group.count = 1u;
        mac(&group);
        y += out_c - rest;
        for (uint32_t p = 0; p < (six ? 6u : 1u); p++) {
            memcpy(y + p * out_c, last[p], rest * sizeof(float));
        }
    }
}

void nn_conv_f32_simd(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_range_f32 *range, float *NN_RESTRICT y) {
    const uint32_t channels = shape->in_c;
    const uint32_t x_row = shape->in_w * channels;
    const uint32_t w_row = shape->k_w * channels;
    nn_mac_f32 loop;
    loop.w_filters = 4u * shape->k_h * w_row * (uint32_t)sizeof(float);
    loop.step = shape->stride_w * channels * (uint32_t)sizeof(float);
    for (uint32_t oh = 0; oh < shape->out_h; oh++) {
        const nn_window rows =
            nn_window_at(oh, shape->stride_h, shape->pad_top, shape->k_h, shape->dilation_h, shape->in_h);
        loop.rows = rows.count;
        for (uint32_t ow = 0; ow < shape->out_w;) {
            const nn_window cols =
                nn_window_at(ow, shape->stride_w, shape->pad_left, shape->k_w, 1u, shape->in_w);
            const nn_window last =
                nn_window_at(ow + 5u, shape->stride_w, shape->pad_left, shape->k_w, 1u, shape->in_w);
            const bool six = rows.count > 0u && ow + 5u < shape->out_w && cols.count == shape->k_w &&
                             last.count == shape->k_w;
            loop.run = cols.count * channels;
            loop.skip = (shape->dilation_h * x_row - loop.run) * (uint32_t)sizeof(float);
            loop.w_skip = (w_row - loop.run) * 4u * (uint32_t)sizeof(float);
            loop.x = x + rows.start * x_row + cols.start * channels;
            nn_filters(&loop, w + (rows.first * w_row + cols.first * channels) * 4u, bias, six, shape->out_c,
                       y);
            if (range->min != -INFINITY || range->max != INFINITY) {
                nn_clamp_all(range, (six ? 6u : 1u) * shape->out_c, y);
            }
            y += (six ? 6u : 1u) * shape->out_c;
            ow += six ? 6u : 1u;
        }
    }
}
