#include "nn_type_a16.inc"

#define NN_FUNCTION nn_conv_a16
#include "nn_conv.inc"
