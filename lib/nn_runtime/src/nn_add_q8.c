#include "nn_runtime.h"

#define NN_FUNCTION nn_add_q8
#define NN_T int8_t
#define NN_UNSIGNED uint8_t
#define NN_EACH 0x01010101u
#define NN_MAX nn_max_bytes
#define NN_MIN nn_min_bytes
#define NN_ADD_WORD(a, b, scales, half, shift)                                                               \
    nn_bytes(nn_add_two(nn_even_bytes(a), nn_even_bytes(b), scales, half, shift),                            \
             nn_add_two(nn_odd_bytes(a), nn_odd_bytes(b), scales, half, shift))
#define NN_SATURATE nn_saturate_8
#include "nn_add_words.inc"
