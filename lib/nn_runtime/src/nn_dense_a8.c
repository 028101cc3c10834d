#include "nn_type_a8.inc"

#define NN_FUNCTION nn_dense_a8
#include "nn_dense.inc"
