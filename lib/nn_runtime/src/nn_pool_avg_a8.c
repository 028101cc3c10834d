#include "nn_requant.h"

#define NN_T int8_t
#define NN_ACC int32_t
#define NN_PARAMETERS int8_t min, int8_t max
#define NN_MEAN(sum, count) (int8_t)nn_divide_away(sum, count, min, max)
#define NN_FUNCTION nn_pool_avg_a8
#include "nn_pool_avg.inc"
