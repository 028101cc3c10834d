#include "nn_requant.h"
#include "nn_simd.h"
#include "nn_wino.h"
#include "nn_wino_input_8.inc"

NN_PART void nn_wino_outputs(const int32_t *m, uint32_t tiles, const nn_requant_affine *requant, int32_t bias,
                             uint32_t f, uint32_t step, int8_t *y) {
#if NN_DSP
    if (requant->max == INT8_MAX && requant->min == INT8_MIN) {
        const int32_t shift = -requant->shifts[f];
        const nn_wino_out out = {m,
                                 y,
                                 step,
                                 NN_INVERSE_OF_3,
                                 2u * (uint32_t)bias,
                                 shift,
                                 requant->multipliers[f],
                                 nn_affine_offset(requant->zero_point, shift)};
        nn_wino_outputs_a8(&out, nn_wino_end(m, tiles));
        return;
    }
#endif
    for (uint32_t tile = 0; tile < tiles; tile++) {
        int32_t sums[4];
        nn_wino_tile(m, sums);
        for (uint32_t i = 0; i < 4u; i++) {
            *y = (int8_t)nn_affine_i32(sums[i] + bias, requant, f);
            y += step;
        }
        m = nn_wino_next(m, tile);
    }
}

#define NN_FUNCTION nn_conv_a8_wino
#define NN_PACKED 0
#define NN_OUT nn_requant_affine
#include "nn_conv_wino43.inc"
