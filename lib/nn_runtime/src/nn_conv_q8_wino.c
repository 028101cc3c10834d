#include "nn_requant.h"
#include "nn_simd.h"
#include "nn_wino.h"

NN_PART void nn_wino_outputs(const int32_t *m, uint32_t tiles, const nn_requant *requant, int32_t bias,
                             uint32_t f, uint32_t step, int8_t *y) {
    const int32_t min = requant->min;
    const int32_t max = requant->max;
    const int32_t shift = nn_filter_shift(requant, f);
#if NN_DSP
    if (max == INT8_MAX && (min == 0 || min == INT8_MIN)) {
        const nn_wino_out out = {m, y, step, NN_INVERSE_OF_3, 2u * (uint32_t)bias, shift + 1, 0, 0};
        (min == 0 ? nn_wino_outputs_q8_relu : nn_wino_outputs_q8)(&out, nn_wino_end(m, tiles));
        return;
    }
#endif
    for (uint32_t tile = 0; tile < tiles; tile++) {
        int32_t sums[4];
        nn_wino_tile(m, sums);
        for (uint32_t i = 0; i < 4u; i++) {
            const int32_t sum = (sums[i] + bias) >> shift;
            *y = (int8_t)(sum < min ? min : sum > max ? max : sum);
            y += step;
        }
        m = nn_wino_next(m, tile);
    }
}

#define NN_FUNCTION nn_conv_q8_wino
#define NN_OUT nn_requant
#include "nn_conv_wino8.inc"
