#include "nn_simd.h"
#include "nn_wino.h"

#if NN_DSP
#define NN_FUNCTION nn_wino_outputs_q8
#define NN_STORE "strb"
#define NN_FINISH(r) "asr.w " r ", " r ", r11\nssat " r ", #8, " r "\n"
#include "nn_wino_outputs.inc"
#endif
