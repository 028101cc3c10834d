#include "nn_simd.h"
#include "nn_wino.h"

#if NN_DSP
#define NN_FUNCTION nn_wino_outputs_q16
#define NN_STORE "strh"
#define NN_FINISH(r)                                                                                         \
    "asr.w " r ", " r ", r11\n"                                                                              \
    "cmp " r ", r12\nit lt\nmovlt " r ", r12\n"                                                              \
    "cmp " r ", lr\nit gt\nmovgt " r ", lr\n"
#include "nn_wino_outputs.inc"
#endif
