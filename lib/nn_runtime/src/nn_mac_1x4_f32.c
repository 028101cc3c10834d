#include "nn_mac_f32.h"

void nn_mac_1x4_f32(const float *x, const float *w, const nn_mac_f32 *loop, float *y) {
    float sum0 = loop->bias[0];
    float sum1 = loop->bias[1];
    float sum2 = loop->bias[2];
    float sum3 = loop->bias[3];
    for (uint32_t rows = loop->rows; rows > 0u; rows--) {
        for (uint32_t n = loop->run; n > 0u; n--) {
            const float xi = *x++;
            sum0 += xi * w[0];
            sum1 += xi * w[1];
            sum2 += xi * w[2];
            sum3 += xi * w[3];
            w += 4;
        }
        x += loop->skip / 4u;
        w += loop->w_skip / 4u;
    }
    y[0] = sum0;
    y[1] = sum1;
    y[2] = sum2;
    y[3] = sum3;
}
