#include "nn_type_a16.inc"

#undef NN_FINISH_FILTER
#define NN_FINISH_FILTER(acc, out, f) (int16_t)nn_affine_once(acc, out, f)

#define NN_FUNCTION nn_dense_a16
#include "nn_dense.inc"
