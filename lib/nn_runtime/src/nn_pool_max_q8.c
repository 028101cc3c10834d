#include "nn_type_q8.inc"

#define NN_FUNCTION nn_pool_max_q8
#define NN_LOWEST INT8_MIN
#include "nn_pool_max.inc"
