/* Depthwise convolution of floats; nn_runtime.h has the layout of w.
 *
 * 3 x 3 taps one position apart: one filter after the other, 5 columns at a time (nn_mac_columns_f32). Other
 * kernels: up to 16 channels at a time, one position after the other (nn_mac_channels_f32); with several
 * filters a channel, or few channels, filters one by one. */
#include "nn_axes.h"
#include "nn_mac_f32.h"
#include <math.h>
#include <stdbool.h>

#define NN_PART __attribute__((noinline)) static
#define NN_BYTES(floats) ((floats) * (uint32_t)sizeof(float))

typedef struct {
    nn_axis h, w;
    const float *x, *table, *bias;
    const nn_range_f32 *range;
    uint32_t filters, multiplier; /* filters a channel */
    float *y;
} nn_layer;

/* The channels that `channels` begins with, or one filter, at all positions. */
NN_PART void nn_positions(const nn_layer *layer, const nn_mac_channels *channels, bool one) {
    const nn_axis *h = &layer->h, *w = &layer->w;
    nn_mac_channels work = *channels;
    uint32_t begin, end;
    nn_axis_inside(w, &begin, &end);
    work.x_tap = NN_BYTES(w->dilation * w->x_step);
    work.w_tap = NN_BYTES(layer->filters);
    work.x_step = NN_BYTES(w->stride * w->x_step);
    work.y_step = NN_BYTES(w->y_step);
    for (uint32_t oh = 0; oh < h->out; oh++) {
        const nn_window rows = nn_axis_window(h, oh);
        work.rows = rows.count;
        for (uint32_t ow = 0; ow < w->out;) {
            const nn_window cols = nn_axis_window(w, ow);
            const uint32_t count = ow == begin && begin < end ? end - begin : 1u;
            work.x = channels->x + rows.start * h->x_step + cols.start * w->x_step;
            work.w = channels->w + (rows.first * w->kernel + cols.first) * layer->filters;
            work.y = channels->y + oh * h->y_step + ow * w->y_step;
            work.cols = cols.count;
            work.x_skip = NN_BYTES(h->dilation * h->x_step) - cols.count * work.x_tap;
            work.w_skip = (w->kernel - cols.count) * work.w_tap;
            work.count = count;
            (one ? nn_mac_channel_f32 : nn_mac_channels_f32)(&work);
            ow += count;
        }
    }
}

/* Any kernel. */
NN_PART void nn_any(const nn_layer *layer) {
    const uint32_t filters = layer->filters;
    const bool one = layer->multiplier > 1u || filters < 4u;
    nn_mac_channels work;
    work.min = layer->range->min;
    work.max = layer->range->max;
    work.has_max = work.max != INFINITY ? 1u : 0u;
    work.missing = 0u;
    for (uint32_t f = 0; f < filters;) {
        uint32_t first = f, count = 1u;
        if (!one) {
            const uint32_t quads = (filters - f) / 4u;
            work.missing = quads > NN_MOST_QUADS ? 0u : NN_MOST_QUADS - (quads > 0u ? quads : 1u);
            count = 4u * (NN_MOST_QUADS - work.missing);
            first = quads > 0u ? f : filters - 4u; /* the last few with some of those before */
        }
        work.x = layer->x + first / layer->multiplier;
        work.w = layer->table + first;
        work.bias = layer->bias + first;
        work.y = layer->y + first;
        nn_positions(layer, &work, one);
        f = first + count;
    }
}

/* 3 x 3, strides and dilations 1, at least 5 columns, at most one of padding on both sides. */
NN_PART void nn_columns(const nn_layer *layer) {
    const nn_axis *h = &layer->h, *w = &layer->w;
    nn_mac_columns work;
    work.x_col = NN_BYTES(w->x_step);
    work.y_col = work.w_tap = NN_BYTES(layer->filters);
    work.x_row = NN_BYTES(h->x_step);
    work.y_row = NN_BYTES(h->y_step);
    work.outputs = h->out;
    work.rows = work.outputs + 2u;
    const uint32_t above = h->pad < work.rows ? h->pad : work.rows;
    work.inside = h->in < work.rows - above ? h->in : work.rows - above;
    work.below = work.rows - above - work.inside + 1u;
    work.min = layer->range->min;
    work.max = layer->range->max;
    for (uint32_t f = 0; f < layer->filters; f++) {
        work.w = layer->table + f;
        work.bias = layer->bias + f;
        for (uint32_t o = 0; o < w->out; o += NN_COLUMNS) {
            const uint32_t last = w->out - NN_COLUMNS;
            const uint32_t first = o < last ? o : last; /* the last ones with some of those before */
            const bool left = first < w->pad;
            const bool right = first + NN_COLUMNS + 1u >= (uint32_t)w->in + w->pad;
            work.flags = (left ? NN_LEFT : 0u) | (right ? NN_RIGHT : 0u);
            work.flags |= work.max != INFINITY ? NN_HAS_MAX : 0u;
            work.x = layer->x + f / layer->multiplier + (left ? 0u : first - w->pad) * w->x_step;
            work.y = layer->y + f + first * w->y_step;
            nn_mac_columns_f32(&work);
        }
    }
}

void nn_conv_f32_depthwise(const float *NN_RESTRICT x, const float *NN_RESTRICT w,
                           const float *NN_RESTRICT bias, const nn_conv_shape *shape,
                           const nn_range_f32 *range, float *NN_RESTRICT y) {
    nn_layer layer = {.x = x, .table = w, .bias = bias, .range = range, .y = y, .filters = shape->out_c};
    layer.multiplier = layer.filters / shape->in_c;
    nn_set_axes(shape, &layer.h, &layer.w);
    const nn_axis *along = &layer.w, *across = &layer.h;
    const bool near =
        across->stride == 1u && along->stride == 1u && across->dilation == 1u && along->dilation == 1u;
    const bool padded = along->pad > 1u || along->out + 1u > (uint32_t)along->in + along->pad;
    if (across->kernel == 3u && along->kernel == 3u && near && along->out >= NN_COLUMNS && !padded) {
        nn_columns(&layer);
    } else {
        nn_any(&layer);
    }
}
