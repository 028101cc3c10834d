#include "nn_depthwise_16.inc"
#include "nn_depthwise_w8.inc"
#include "nn_mac_line.h"

#define NN_FUNCTION nn_conv_a16_depthwise
#define NN_OUT nn_requant_affine
#define NN_MULTIPLY(r) "smmulr " #r ", " #r ", r12\n"
#define NN_SCALE NN_EACH(NN_MULTIPLY)

static inline int32_t nn_scaled(int32_t sum, const nn_mac_filter *filter) {
    return nn_smmulr(sum, filter->scale);
}

static inline void nn_at_filter(nn_mac_filter *filter, const nn_requant_affine *out, uint32_t f) {
    filter->scale = nn_affine_multiplier_16(out->multipliers[f], out->shifts[f]);
}

#include "nn_conv_depthwise.inc"
