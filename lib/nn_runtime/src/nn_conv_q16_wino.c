#define NN_FUNCTION nn_conv_q16_wino
#define NN_PACKED 0
#include "nn_conv_wino23.inc"
