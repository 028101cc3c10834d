#include "nn_runtime.h"

void nn_fill_q16(int16_t value, uint32_t count, int16_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = value;
    }
}
