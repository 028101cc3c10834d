#define NN_T int8_t
#define NN_FUNCTION nn_mean_a8
#include "nn_mean.inc"
