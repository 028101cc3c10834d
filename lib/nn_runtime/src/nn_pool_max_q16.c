#include "nn_runtime.h"

#define NN_FUNCTION nn_pool_max_q16
#define NN_T int16_t
#ifdef NN_SMALL
#include "nn_pool_max.inc"
#else
#define NN_UNSIGNED uint16_t
#define NN_EACH 0x00010001u
#define NN_MAX nn_max_halves
#define NN_MIN nn_min_halves
#include "nn_pool_max_words.inc"
#endif
