#include "nn_requant.h"
#include <math.h>

void nn_add_f32(const float *a, const float *b, uint32_t count, const nn_range_f32 *range, float *y) {
    const float *end = a + count;
    const float min = range->min;
    if (range->max == INFINITY) { /* no clamp or a ReLU */
        for (; a < end; a++) {
            const float sum = *a + *b++;
            *y++ = sum < min ? min : sum;
        }
    } else {
        for (; a < end; a++) {
            *y++ = nn_clamp_f32(*a + *b++, range);
        }
    }
}
