#include "nn_requant.h"

#define NN_T int16_t
#define NN_PARAMETERS int32_t zero, const nn_requant_affine *out
#define NN_FINISH(acc, out) (int16_t)nn_affine_i32((acc) - zero, out, 0u)
#define NN_FUNCTION nn_requantize_a16
#include "nn_copy.inc"
