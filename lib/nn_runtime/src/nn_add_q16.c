#include "nn_runtime.h"

#define NN_FUNCTION nn_add_q16
#define NN_T int16_t
#define NN_UNSIGNED uint16_t
#define NN_EACH 0x00010001u
#define NN_MAX nn_max_halves
#define NN_MIN nn_min_halves
#define NN_ADD_WORD(a, b, scales, half, shift) nn_add_two(a, b, scales, half, shift)
#define NN_SATURATE nn_saturate_16
#include "nn_add_words.inc"
