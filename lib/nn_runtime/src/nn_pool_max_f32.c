#include <math.h>

#include "nn_type_f32.inc"

#define NN_FUNCTION nn_pool_max_f32
#define NN_LOWEST (-INFINITY)
#include "nn_pool_max.inc"
