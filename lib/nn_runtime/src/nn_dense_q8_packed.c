#include "nn_type_q8.inc"

#define NN_FUNCTION nn_dense_q8_packed
#include "nn_dense_packed.inc"
