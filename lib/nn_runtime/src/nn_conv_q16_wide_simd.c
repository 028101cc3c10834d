#include "nn_pack_16.inc"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_q16_wide_simd
#define NN_W_WORDS 2u
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_q16_wide : nn_mac_1x2_q16_wide)
#include "nn_mac_start_q.inc"

#include "nn_conv_simd.inc"
