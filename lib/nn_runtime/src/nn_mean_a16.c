#define NN_T int16_t
#define NN_FUNCTION nn_mean_a16
#include "nn_mean.inc"
