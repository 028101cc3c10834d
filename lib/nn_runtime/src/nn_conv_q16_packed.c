#define NN_W int16_t
#include "nn_type_q16.inc"

#define NN_FUNCTION nn_conv_q16_packed
#include "nn_conv_packed.inc"
