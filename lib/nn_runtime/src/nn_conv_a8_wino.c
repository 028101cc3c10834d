#define NN_INVERSE NN_INVERSE_OF_3
#include "nn_wino_a8.inc"

#include "nn_wino_input_8.inc"

#define NN_FUNCTION nn_conv_a8_wino
#define NN_PACKED 0
#include "nn_conv_wino43.inc"
