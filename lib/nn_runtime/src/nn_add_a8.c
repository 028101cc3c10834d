#define NN_T int8_t
#define NN_LEFT 20
#define NN_FUNCTION nn_add_a8
#include "nn_add_affine.inc"
