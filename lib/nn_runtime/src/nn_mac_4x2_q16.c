#define NN_FUNCTION nn_mac_4x2_q16
#define NN_T int16_t
#define NN_WORDS 2u
#define NN_W(w) {(w)[0], (w)[1]}
#define NN_WORDS_LOG2 1
#define NN_PAIR_BYTES 56
#define NN_LOAD_W                                                                                            \
    "ldr.w r2, [r1], #4\n"                                                                                   \
    "ldr.w r3, [r1], #4\n"                                                                                   \
    "ldr.w r12, [r0], #4\n"
#define NN_STORE "strh.w"
#define NN_STEP "2"
#define NN_BITS 16
#define NN_BITS_POSITIVE 15
#include "nn_mac_4x2.inc"
