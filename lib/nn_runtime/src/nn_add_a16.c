#define NN_T int16_t
#define NN_LEFT 15
#define NN_FUNCTION nn_add_a16
#include "nn_add_affine.inc"
