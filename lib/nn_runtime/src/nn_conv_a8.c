#include "nn_type_a8.inc"

#define NN_FUNCTION nn_conv_a8
#include "nn_conv.inc"
