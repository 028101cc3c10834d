#define NN_INVERSE NN_INVERSE_OF_3
#include "nn_wino_q8.inc"

#define NN_FUNCTION nn_conv_q8_wino
#include "nn_conv_wino8.inc"
