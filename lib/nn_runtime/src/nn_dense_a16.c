#include "nn_type_a16.inc"

#define NN_FUNCTION nn_dense_a16
#include "nn_dense.inc"
