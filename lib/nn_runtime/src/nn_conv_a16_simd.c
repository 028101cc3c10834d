#include "nn_pack_16.inc"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_a16_simd
#define NN_W_WORDS 1u
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_a16 : nn_mac_1x2_a16)
#include "nn_mac_start_affine.inc"

#include "nn_conv_simd.inc"
