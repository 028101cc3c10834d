#include "nn_type_q8.inc"

#define NN_FUNCTION nn_dense_q8
#include "nn_dense.inc"
