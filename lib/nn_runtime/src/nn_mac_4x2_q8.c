#define NN_FUNCTION nn_mac_4x2_q8
#define NN_T int8_t
#define NN_WORDS 1u
#define NN_W(w) {nn_even_bytes(*(w)), nn_odd_bytes(*(w))}
#define NN_WORDS_LOG2 0
#define NN_PAIR_BYTES 60
#define NN_LOAD_W                                                                                            \
    "ldr.w r3, [r1], #4\n"                                                                                   \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    "sxtb16 r2, r3\n"                                                                                        \
    "sxtb16 r3, r3, ror #8\n"
#define NN_STORE "strb.w"
#define NN_STEP "1"
#define NN_BITS 8
#define NN_BITS_POSITIVE 7
#include "nn_mac_4x2.inc"
