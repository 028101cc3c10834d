#define NN_FUNCTION nn_mac_4x2_q16
#define NN_WORDS_LOG2 1
#define NN_PAIR_BYTES 56
#define NN_LOAD_W                                                                                            \
    "ldr.w r2, [r1], #4\n"                                                                                   \
    "ldr.w r3, [r1], #4\n"                                                                                   \
    "ldr.w r12, [r0], #4\n"
#define NN_W(w, i) {(w)[2u * (i)], (w)[2u * (i) + 1u]}
#include "nn_mac_4x2.inc"
