#include "nn_type_q16.inc"

#define NN_FUNCTION nn_dense_q16
#include "nn_dense.inc"
