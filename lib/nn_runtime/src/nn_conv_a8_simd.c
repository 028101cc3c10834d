#include "nn_pack_8.inc"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_a8_simd
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_a8 : nn_mac_1x2_a8)
#include "nn_mac_start_affine.inc"

#include "nn_conv_simd.inc"
