#define NN_FUNCTION nn_conv_q16_packed_wino
#define NN_PACKED 1
#include "nn_conv_wino23.inc"
