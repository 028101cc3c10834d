#include "nn_requant.h"
#include <math.h>

static inline float nn_add_above(float a, float b, float min) {
    const float sum = a + b;
    return sum < min ? min : sum;
}

void nn_add_f32(const float *a, const float *b, uint32_t count, const nn_range_f32 *range, float *y) {
    const float min = range->min;
    if (range->max == INFINITY) { /* no clamp or a ReLU: four at a time */
        for (; count >= 4u; count -= 4u) {
            const float y0 = nn_add_above(a[0], b[0], min);
            const float y1 = nn_add_above(a[1], b[1], min);
            const float y2 = nn_add_above(a[2], b[2], min);
            const float y3 = nn_add_above(a[3], b[3], min);
            y[0] = y0;
            y[1] = y1;
            y[2] = y2;
            y[3] = y3;
            a += 4;
            b += 4;
            y += 4;
        }
    }
    for (; count > 0u; count--) {
        *y++ = nn_clamp_f32(*a++ + *b++, range);
    }
}
