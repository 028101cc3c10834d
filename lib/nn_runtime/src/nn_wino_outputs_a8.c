#include "nn_simd.h"
#include "nn_wino.h"

#if NN_DSP
#define NN_FUNCTION nn_wino_outputs_a8
#define NN_STORE "strb"
#define NN_FINISH(r)                                                                                         \
    "smmulr " r ", " r ", r12\n"                                                                             \
    "add.w " r ", " r ", " r ", asr #31\n"                                                                   \
    "add.w " r ", " r ", lr\n"                                                                               \
    "asr.w " r ", " r ", r11\n"                                                                              \
    "ssat " r ", #8, " r "\n"
#include "nn_wino_outputs.inc"
#endif
