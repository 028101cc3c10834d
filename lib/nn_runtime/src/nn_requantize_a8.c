#include "nn_requant.h"

#define NN_T int8_t
#define NN_PARAMETERS int32_t zero, const nn_requant_affine *out
#define NN_FINISH(acc, out) (int8_t)nn_affine_i32((acc) - zero, out, 0u)
#define NN_FUNCTION nn_requantize_a8
#include "nn_copy.inc"
