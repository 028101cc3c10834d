#include "nn_type_q8_wide.inc"

#define NN_FUNCTION nn_dense_q8_packed_wide
#include "nn_dense_packed.inc"
