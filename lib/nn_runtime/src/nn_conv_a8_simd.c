#include "nn_mac.h"
#include "nn_pack_8.inc"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_a8_simd
#define NN_OUT nn_requant_affine
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_a8 : nn_mac_1x2_a8)

static inline void nn_start(nn_mac_block *block, const nn_requant_affine *out) {
    block->shifts = 2u * (uint32_t)out->zero_point + 1u;
    block->min = (int16_t)out->min;
    block->max = (int16_t)out->max;
    block->clamp = out->min == INT8_MIN && out->max == INT8_MAX ? NN_CLAMP_TYPE : NN_CLAMP_RANGE;
}

static inline uint32_t nn_at_filter(nn_mac_block *block, const nn_requant_affine *out, uint32_t f,
                                    uint32_t left, nn_mac_last *last) {
    block->multipliers = out->multipliers + f;
    block->filter_shifts = out->shifts + f;
    if (left == 1u) { /* the second of two is one of zeros */
        last->multipliers[0] = last->multipliers[1] = out->multipliers[f];
        last->shifts[0] = last->shifts[1] = out->shifts[f];
        block->multipliers = last->multipliers;
        block->filter_shifts = last->shifts;
    }
    return left;
}

#include "nn_conv_simd.inc"
