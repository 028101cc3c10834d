#include "nn_requant.h"

#define NN_T int16_t
#define NN_ACC int32_t
#define NN_PARAMETERS int16_t min, int16_t max
#define NN_MEAN(sum, count) (int16_t)nn_divide_away(sum, count, min, max)
#define NN_FUNCTION nn_pool_avg_a16
#include "nn_pool_avg.inc"
