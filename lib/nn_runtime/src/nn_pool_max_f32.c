#include "nn_requant.h"
#include "nn_window.h"
#include <math.h>
#include <stdbool.h>

/* What the channels share at one output position, in elements. */
typedef struct {
    uint32_t rows, cols;      /* of the window, inside the input */
    uint32_t x_row, channels; /* from row to row, from column to column; elements to compute */
    float min, max;
} nn_pool_patch;

/* a if it is the larger one; NaN is not. */
static inline float nn_larger(float a, float b) {
    return a > b ? a : b;
}

static inline float nn_larger_of_two(float a, float b, bool clamp, float min) {
    const float best = nn_larger(b, nn_larger(a, -INFINITY));
    return clamp && best < min ? min : best;
}

/* Windows of two columns, two channels at a time. */
static inline void nn_pool_two(const float *x, uint32_t channels, float *y, bool clamp, float min) {
    const float *next = x + channels;
    for (; channels >= 2u; channels -= 2u) {
        const float y0 = nn_larger_of_two(x[0], next[0], clamp, min);
        const float y1 = nn_larger_of_two(x[1], next[1], clamp, min);
        y[0] = y0;
        y[1] = y1;
        x += 2;
        next += 2;
        y += 2;
    }
    if (channels > 0u) {
        *y = nn_larger_of_two(*x, *next, clamp, min);
    }
}

__attribute__((noinline)) static void nn_pool_channels(const float *x, const nn_pool_patch *patch, float *y) {
    const uint32_t channels = patch->channels;
    const float min = patch->min;
    const float max = patch->max;
    if (patch->rows == 1u && patch->cols == 2u && max == INFINITY) { /* the usual one-dimensional pooling */
        if (min == -INFINITY) {
            nn_pool_two(x, channels, y, false, min);
        } else {
            nn_pool_two(x, channels, y, true, min);
        }
        return;
    }
    for (uint32_t c = channels; c > 0u; c--) {
        float best = -INFINITY;
        const float *row = x++;
        for (uint32_t kh = patch->rows; kh > 0u; kh--) {
            const float *tap = row;
            for (uint32_t kw = patch->cols; kw > 0u; kw--) {
                best = nn_larger(*tap, best);
                tap += channels;
            }
            row += patch->x_row;
        }
        *y++ = best < min ? min : best > max ? max : best;
    }
}

void nn_pool_max_f32(const float *x, const nn_pool_shape *shape, float min, float max, float *y) {
    const uint32_t channels = shape->channels;
    nn_pool_patch patch;
    patch.channels = channels;
    patch.x_row = shape->in_w * channels;
    patch.min = min;
    patch.max = max;
    for (uint32_t oh = 0; oh < shape->out_h; oh++) {
        const nn_window rows = nn_window_at(oh, shape->stride_h, shape->pad_top, shape->k_h, 1u, shape->in_h);
        patch.rows = rows.count;
        for (uint32_t ow = 0; ow < shape->out_w; ow++) {
            const nn_window cols =
                nn_window_at(ow, shape->stride_w, shape->pad_left, shape->k_w, 1u, shape->in_w);
            patch.cols = cols.count;
            nn_pool_channels(x + rows.start * patch.x_row + cols.start * channels, &patch, y);
            y += channels;
        }
    }
}
