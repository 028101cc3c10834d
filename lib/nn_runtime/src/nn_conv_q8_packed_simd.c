#define NN_W_WORDS 2u
#include "nn_pack_8.inc"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_q8_packed_simd
#define NN_PACKED 1
#define NN_MAC(width) ((width) > 1u ? nn_mac_groups_q8_w16 : nn_mac_1x2_q8_w16)
#include "nn_mac_start_q.inc"

#include "nn_conv_simd.inc"
