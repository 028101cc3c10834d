#define NN_T int16_t
#define NN_MAX 32767u
#define NN_FUNCTION nn_softmax_q16
#include "nn_softmax.inc"
