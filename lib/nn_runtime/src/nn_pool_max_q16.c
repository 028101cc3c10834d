#include "nn_type_q16.inc"

#define NN_FUNCTION nn_pool_max_q16
#define NN_LOWEST INT16_MIN
#include "nn_pool_max.inc"
