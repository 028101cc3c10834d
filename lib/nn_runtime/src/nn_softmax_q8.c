#define NN_T int8_t
#define NN_MAX 127u
#define NN_FUNCTION nn_softmax_q8
#include "nn_softmax.inc"
