#include "nn_type_q8.inc"

#define NN_FUNCTION nn_copy_q8
#include "nn_copy.inc"
