#include "nn_type_f32.inc"

#define NN_FUNCTION nn_conv_f32
#include "nn_conv.inc"
