#include "nn_runtime.h"

void nn_fill_q8(int8_t value, uint32_t count, int8_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = value;
    }
}
