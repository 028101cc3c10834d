#define NN_W int8_t
#include "nn_type_q16.inc"

#define NN_FUNCTION nn_conv_q16_w8
#include "nn_conv.inc"
