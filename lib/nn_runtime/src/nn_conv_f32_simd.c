#include "nn_axes.h"
#include "nn_mac_f32.h"
#include "nn_requant.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NN_PART __attribute__((noinline)) static
#define NN_SIX 6u
/* From so many outputs on, six at a time are faster than one by one, even if some are computed twice. */
#define NN_ENOUGH 4u

/* y = clamp(y), `count` elements. */
NN_PART void nn_clamp_all(const nn_range_f32 *range, uint32_t count, float *y) {
    const float min = range->min;
    if (range->max == INFINITY) {
        for (; count >= 4u; count -= 4u) {
            const float a = y[0], b = y[1], c = y[2], d = y[3];
            y[0] = a < min ? min : a;
            y[1] = b < min ? min : b;
            y[2] = c < min ? min : c;
            y[3] = d < min ? min : d;
            y += 4;
        }
    }
    for (; count > 0u; count--, y++) {
        *y = nn_clamp_f32(*y, range);
    }
}

/* `filters` filters at 6 positions, loop->y_step apart, or one, from loop->x to y. The last ones, if fewer
 * than 4, by way of the stack. */
NN_PART void nn_filters(nn_mac_f32 *loop, const float *w, const float *bias, bool six, uint32_t filters,
                        float *y) {
    void (*const mac)(nn_mac_f32 *) = six ? nn_mac_6x4_f32 : nn_mac_1x4_f32;
    const uint32_t rest = filters % 4u;
    loop->w = w;
    loop->bias = bias;
    loop->y = y;
    loop->count = filters / 4u;
    if (loop->count > 0u) {
        mac(loop);
    }
    if (rest > 0u) {
        const uint32_t y_step = loop->y_step;
        float last[NN_SIX][4];
        float last_bias[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        memcpy(last_bias, bias + filters - rest, rest * sizeof(float));
        loop->w = w + filters / 4u * (loop->w_filters / 4u);
        /* cppcheck-suppress autoVariables; each call sets it before it is read */
        loop->bias = last_bias;
        loop->y = last[0];
        loop->y_step = (uint32_t)sizeof last[0];
        loop->count = 1u;
        mac(loop);
        loop->y_step = y_step;
        y += filters - rest;
        for (uint32_t p = 0; p < (six ? NN_SIX : 1u); p++) {
            memcpy(y + p * (y_step / sizeof(float)), last[p], rest * sizeof(float));
        }
    }
}

/* Outputs of an axis that are computed six at a time. */
static uint32_t nn_in_sixes(const nn_axis *axis) {
    uint32_t begin, end;
    nn_axis_inside(axis, &begin, &end);
    const uint32_t rest = (end - begin) % NN_SIX;
    return end - begin < NN_SIX ? 0u : end - begin - (rest < NN_ENOUGH ? rest : 0u);
}

/* Each output is under one input. */
static bool nn_is_pointwise(const nn_axis *axis) {
    return axis->kernel == 1u && axis->stride == 1u && axis->pad == 0u && axis->out == axis->in;
}

/* A layer. */
typedef struct {
    nn_axis h, w;
    const float *x, *table, *bias;
    const nn_range_f32 *range;
    uint32_t groups;
    uint32_t channels, filters; /* of a group */
} nn_layer;

/* All filters at 6 positions or one, which have the taps `rows` and `cols` inside the input; loop->y is the
 * first output. */
NN_PART void nn_outputs(const nn_layer *layer, const nn_window *rows, const nn_window *cols, bool six,
                        nn_mac_f32 *loop) {
    const uint32_t channels = layer->channels;
    const uint32_t filters = layer->filters;
    const uint32_t x_tap = layer->w.dilation * layer->w.x_step;
    const uint32_t w_row = layer->w.kernel * channels;
    const bool in_a_row = x_tap == channels; /* the taps of a kernel row are */
    const uint32_t hops = in_a_row || cols->count == 0u ? 0u : cols->count - 1u;
    const float *x = layer->x + rows->start * layer->h.x_step + cols->start * layer->w.x_step;
    const float *table = layer->table + (rows->first * w_row + cols->first * channels) * 4u;
    float *y = loop->y;
    loop->rows = rows->count;
    loop->cols = in_a_row ? 1u : cols->count;
    loop->run = in_a_row ? cols->count * channels : channels;
    loop->hop = (x_tap - channels) * (uint32_t)sizeof(float);
    loop->skip = (layer->h.dilation * layer->h.x_step - hops * x_tap - loop->run) * (uint32_t)sizeof(float);
    loop->w_skip = (w_row - cols->count * channels) * 4u * (uint32_t)sizeof(float);
    loop->w_filters = layer->h.kernel * w_row * 4u * (uint32_t)sizeof(float);
    for (uint32_t g = 0; g < layer->groups; g++) {
        loop->x = x + g * channels;
        nn_filters(loop, table, layer->bias + g * filters, six, filters, y + g * filters);
        table += (filters + 3u) / 4u * (loop->w_filters / 4u);
    }
    if (layer->range->min != -INFINITY || layer->range->max != INFINITY) {
        for (uint32_t p = 0; p < (six ? NN_SIX : 1u); p++) {
            nn_clamp_all(layer->range, layer->groups * filters, y);
            y += loop->y_step / sizeof(float);
        }
    }
}

/* The outputs of one line, which is at `o` across the lines. */
NN_PART void nn_line(const nn_layer *layer, const nn_axis *along, const nn_axis *across, uint32_t o,
                     float *y) {
    const bool down = along == &layer->h;
    const nn_window beside = nn_axis_window(across, o);
    uint32_t begin, end;
    nn_axis_inside(along, &begin, &end);
    nn_mac_f32 loop;
    loop.step = along->stride * along->x_step * (uint32_t)sizeof(float);
    loop.y_step = along->y_step * (uint32_t)sizeof(float);
    for (uint32_t at = 0; at < along->out;) {
        uint32_t inside = at >= begin && at < end && beside.count > 0u ? end - at : 0u;
        if (inside >= NN_ENOUGH && inside < NN_SIX && end - begin >= NN_SIX) {
            at = end - NN_SIX; /* some again, with the same results */
            inside = NN_SIX;
        }
        const nn_window window = nn_axis_window(along, at);
        loop.y = y + at * along->y_step;
        nn_outputs(layer, down ? &window : &beside, down ? &beside : &window, inside >= NN_SIX, &loop);
        at += inside >= NN_SIX ? NN_SIX : 1u;
    }
}

void nn_conv_f32_simd(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_range_f32 *range, float *NN_RESTRICT y) {
    nn_layer layer = {.x = x, .table = w, .bias = bias, .range = range, .groups = shape->groups};
    layer.channels = shape->in_c / shape->groups;
    layer.filters = shape->out_c / shape->groups;
    nn_set_axes(shape, &layer.h, &layer.w);
    const uint32_t positions = (uint32_t)shape->in_h * shape->in_w;
    if (nn_is_pointwise(&layer.h) && nn_is_pointwise(&layer.w) && positions <= UINT16_MAX) {
        layer.w.in = layer.w.out = (uint16_t)positions; /* one long row */
        layer.h.in = layer.h.out = 1u;
    }
    /* Along the axis that has more sixes; a window that leaves the input across it does no harm. */
    const bool down = nn_in_sixes(&layer.h) * layer.w.out > nn_in_sixes(&layer.w) * layer.h.out;
    const nn_axis *along = down ? &layer.h : &layer.w, *across = down ? &layer.w : &layer.h;
    for (uint32_t o = 0; o < across->out; o++) {
        nn_line(&layer, along, across, o, y + o * across->y_step);
    }
}
