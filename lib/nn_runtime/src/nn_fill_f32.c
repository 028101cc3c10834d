#include "nn_runtime.h"

void nn_fill_f32(float value, uint32_t count, float *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = value;
    }
}
