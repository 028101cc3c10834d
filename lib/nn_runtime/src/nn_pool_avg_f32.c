#include "nn_type_f32.inc"

#define NN_FUNCTION nn_pool_avg_f32
#define NN_PARAMETERS const NN_OUT *out
#define NN_MEAN(sum, count) nn_clamp_f32((sum) / (count), out)
#include "nn_pool_avg.inc"
