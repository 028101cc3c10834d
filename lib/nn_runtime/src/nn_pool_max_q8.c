#include "nn_runtime.h"

#define NN_FUNCTION nn_pool_max_q8
#define NN_T int8_t
#ifdef NN_SMALL
#include "nn_pool_max.inc"
#else
#define NN_UNSIGNED uint8_t
#define NN_EACH 0x01010101u
#define NN_MAX nn_max_bytes
#define NN_MIN nn_min_bytes
#include "nn_pool_max_words.inc"
#endif
