#include "nn_type_a8.inc"

#undef NN_FINISH_FILTER
#define NN_FINISH_FILTER(acc, out, f) (int8_t)nn_affine_once(acc, out, f)

#define NN_FUNCTION nn_dense_a8
#include "nn_dense.inc"
