#define NN_CHECKED
#include "nn_depthwise_16.inc"
#include "nn_depthwise_q.inc"

#define NN_FUNCTION nn_conv_q16_wide_depthwise
#define NN_WORDS 2u
#define NN_EVEN(w) (*(w))
#define NN_ODD(w) ((w)[1])

#include "nn_conv_depthwise.inc"
