#include "nn_type_f32.inc"

#define NN_FUNCTION nn_dense_f32
#include "nn_dense.inc"
