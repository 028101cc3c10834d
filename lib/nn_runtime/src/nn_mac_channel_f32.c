#include "nn_mac_f32.h"
#include "nn_requant.h"

void nn_mac_channel_f32(nn_mac_channels *work) {
    const nn_range_f32 range = {work->min, work->max};
    for (; work->count > 0u; work->count--) {
        const float *x = work->x;
        const float *w = work->w;
        float sum = *work->bias;
        for (uint32_t rows = work->rows; rows > 0u; rows--) {
            for (uint32_t cols = work->cols; cols > 0u; cols--) {
                sum += *x * *w;
                x += work->x_tap / 4u;
                w += work->w_tap / 4u;
            }
            x += (int32_t)work->x_skip / 4;
            w += work->w_skip / 4u;
        }
        *work->y = nn_clamp_f32(sum, &range);
        work->x += work->x_step / 4u;
        work->y += work->y_step / 4u;
    }
}
