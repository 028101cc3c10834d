#include "nn_mac_f32.h"

void nn_mac_1x4_f32(const float *x, const float *w, const nn_mac_f32 *loop, float *sums) {
    float sum0 = sums[0];
    float sum1 = sums[1];
    float sum2 = sums[2];
    float sum3 = sums[3];
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
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}
