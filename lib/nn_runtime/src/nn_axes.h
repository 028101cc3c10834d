/* The two axes of a convolution, for kernels that compute outputs along either. */
#ifndef NN_AXES_H
#define NN_AXES_H

#include "nn_runtime.h"
#include "nn_window.h"

typedef struct {
    uint16_t in, out, kernel, stride, dilation, pad;
    uint32_t x_step, y_step; /* elements from position to position */
} nn_axis;

static inline void nn_set_axes(const nn_conv_shape *s, nn_axis *h, nn_axis *w) {
    *h = (nn_axis){.in = s->in_h,
                   .out = s->out_h,
                   .kernel = s->k_h,
                   .stride = s->stride_h,
                   .dilation = s->dilation_h,
                   .pad = s->pad_top,
                   .x_step = (uint32_t)s->in_w * s->in_c,
                   .y_step = (uint32_t)s->out_w * s->out_c};
    *w = (nn_axis){.in = s->in_w,
                   .out = s->out_w,
                   .kernel = s->k_w,
                   .stride = s->stride_w,
                   .dilation = s->dilation_w,
                   .pad = s->pad_left,
                   .x_step = s->in_c,
                   .y_step = s->out_c};
}

/* The taps inside the input at output position `out` of an axis. */
static inline nn_window nn_axis_window(const nn_axis *axis, uint32_t out) {
    return nn_window_at(out, axis->stride, axis->pad, axis->kernel, axis->dilation, axis->in);
}

/* Outputs begin .. end - 1 of an axis are those with all taps inside the input; begin <= end. */
static inline void nn_axis_inside(const nn_axis *axis, uint32_t *begin, uint32_t *end) {
    const uint32_t span = (axis->kernel - 1u) * axis->dilation + 1u;
    const uint32_t size = (uint32_t)axis->in + axis->pad;
    *begin = ((uint32_t)axis->pad + axis->stride - 1u) / axis->stride;
    *end = size < span ? 0u : (size - span) / axis->stride + 1u;
    *end = *end < axis->out ? *end : axis->out;
    *begin = *begin < *end ? *begin : *end;
}

#endif
