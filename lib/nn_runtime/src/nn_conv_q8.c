#include "nn_type_q8.inc"

#define NN_FUNCTION nn_conv_q8
#include "nn_conv.inc"
