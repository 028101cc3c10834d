#include "nn_type_q16.inc"

#define NN_FUNCTION nn_conv_q16
#include "nn_conv.inc"
