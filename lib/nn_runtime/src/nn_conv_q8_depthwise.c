#include "nn_depthwise_8.inc"
#include "nn_depthwise_q.inc"

#define NN_FUNCTION nn_conv_q8_depthwise

#include "nn_conv_depthwise.inc"
