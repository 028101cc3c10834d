#include "nn_type_q16.inc"

#define NN_FUNCTION nn_pool_avg_q16
#define NN_PARAMETERS const NN_OUT *out
#define NN_MEAN(sum, count) (int16_t)nn_divide_i32(sum, count, out)
#include "nn_pool_avg.inc"
