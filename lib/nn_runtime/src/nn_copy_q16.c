#include "nn_type_q16.inc"

#define NN_FUNCTION nn_copy_q16
#include "nn_copy.inc"
