#include "nn_type_q16_wide.inc"

#define NN_FUNCTION nn_add_q16_wide
#include "nn_add.inc"
