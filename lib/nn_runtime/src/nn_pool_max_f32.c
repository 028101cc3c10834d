#include "nn_requant.h"
#include "nn_window.h"
#include <math.h>

/* What the channels share at one output position, in elements. */
typedef struct {
    uint32_t rows, cols;      /* of the window, inside the input */
    uint32_t x_row, channels; /* from row to row, from column to column; elements to compute */
    float min, max;
} nn_pool_patch;

__attribute__((noinline)) static void nn_pool_channels(const float *x, const nn_pool_patch *patch, float *y) {
    const uint32_t channels = patch->channels;
    const float min = patch->min;
    const float max = patch->max;
    if (patch->rows == 1u && patch->cols == 2u && max == INFINITY) { /* the usual one-dimensional pooling */
        for (const float *end = x + channels; x < end; x++) {
            const float second = x[channels];
            float best = *x > -INFINITY ? *x : -INFINITY; /* NaN does not win */
            best = second > best ? second : best;
            *y++ = best < min ? min : best;
        }
        return;
    }
    for (uint32_t c = channels; c > 0u; c--) {
        float best = -INFINITY;
        const float *row = x++;
        for (uint32_t kh = patch->rows; kh > 0u; kh--) {
            const float *tap = row;
            for (uint32_t kw = patch->cols; kw > 0u; kw--) {
                best = *tap > best ? *tap : best;
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
