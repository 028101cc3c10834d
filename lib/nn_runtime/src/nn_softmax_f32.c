#include "nn_runtime.h"

void nn_softmax_f32(const float *x, uint32_t rows, uint32_t row, float *y) {
    for (; rows > 0u; rows--) {
        float max = row > 0u ? x[0] : 0.0f;
        for (uint32_t j = 1; j < row; j++) {
            max = x[j] > max ? x[j] : max;
        }
        float sum = 0.0f;
        for (uint32_t j = 0; j < row; j++) {
            y[j] = nn_exp_f32(x[j] - max);
            sum += y[j];
        }
        for (uint32_t j = 0; j < row; j++) {
            y[j] /= sum;
        }
        x += row;
        y += row;
    }
}
