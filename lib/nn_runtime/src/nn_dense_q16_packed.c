#include "nn_type_q16.inc"

#define NN_FUNCTION nn_dense_q16_packed
#include "nn_dense_packed.inc"
