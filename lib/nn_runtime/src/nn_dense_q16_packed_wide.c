#include "nn_type_q16_wide.inc"

#define NN_FUNCTION nn_dense_q16_packed_wide
#include "nn_dense_packed.inc"
