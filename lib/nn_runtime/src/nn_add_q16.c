#include "nn_type_q16.inc"

#define NN_FUNCTION nn_add_q16
#include "nn_add.inc"
