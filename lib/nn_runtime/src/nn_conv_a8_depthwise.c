#include "nn_depthwise_8.inc"
#include "nn_mac_line.h"

#define NN_FUNCTION nn_conv_a8_depthwise
#define NN_OUT nn_requant_affine
#define NN_MULTIPLY(r)                                                                                       \
    "lsl.w " #r ", " #r ", #1\n"                                                                             \
    "smmulr " #r ", " #r ", r12\n"                                                                           \
    "add.w " #r ", " #r ", " #r ", asr #31\n"
#define NN_SHIFT(r)                                                                                          \
    "add.w " #r ", " #r ", r11\n"                                                                            \
    "asr.w " #r ", " #r ", r12\n"
#define NN_SCALE                                                                                             \
    NN_EACH(NN_MULTIPLY)                                                                                     \
    "ldrd r11, r12, [lr, #8]\n" NN_EACH(NN_SHIFT)

static inline int32_t nn_scaled(int32_t sum, const nn_mac_filter *filter) {
    sum = nn_smmulr(2 * sum, filter->scale);
    return (sum + (sum >> 31) + filter->offset) >> filter->right;
}

static inline void nn_at_filter(nn_mac_filter *filter, const nn_requant_affine *out, uint32_t f) {
    filter->scale = out->multipliers[f];
    filter->right = -out->shifts[f];
    filter->offset = nn_affine_offset(out->zero_point, filter->right);
}

#include "nn_conv_depthwise.inc"
