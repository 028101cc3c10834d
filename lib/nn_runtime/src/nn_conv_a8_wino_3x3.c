#define NN_INVERSE NN_INVERSE_OF_9
#include "nn_wino_a8.inc"

#define NN_FUNCTION nn_conv_a8_wino_3x3
#include "nn_conv_wino8_3x3.inc"
