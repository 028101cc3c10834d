#include "nn_requant.h"

void nn_add_f32(const float *a, const float *b, uint32_t count, const nn_range_f32 *range, float *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = nn_clamp_f32(a[i] + b[i], range);
    }
}
