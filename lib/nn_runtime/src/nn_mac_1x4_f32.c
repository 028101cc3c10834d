#include "nn_mac_f32.h"

void nn_mac_1x4_f32(nn_mac_f32 *loop) {
    for (; loop->count > 0u; loop->count--) {
        const float *x = loop->x;
        const float *w = loop->w;
        const float *bias = loop->bias;
        float *y = loop->y;
        float sum0 = bias[0];
        float sum1 = bias[1];
        float sum2 = bias[2];
        float sum3 = bias[3];
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
        loop->y += 4;
        loop->bias += 4;
        loop->w += loop->w_filters / 4u;
    }
}
