#include "nn_type_f32.inc"

#define NN_FUNCTION nn_copy_f32
#include "nn_copy.inc"
