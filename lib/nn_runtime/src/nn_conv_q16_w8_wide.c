#define NN_W int8_t
#include "nn_type_q16_wide.inc"

#define NN_FUNCTION nn_conv_q16_w8_wide
#include "nn_conv.inc"
