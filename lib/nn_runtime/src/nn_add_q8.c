#include "nn_type_q8.inc"

#define NN_FUNCTION nn_add_q8
#include "nn_add.inc"
