#define NN_FUNCTION nn_mac_4x2_a16
#include "nn_mac_a16.inc"

/* nn_affine_multiplier_16 of the multiplier m and the shift s. */
#define NN_REDUCE(m, s)                                                                                      \
    "add.w " m ", " m ", #32768\n"                                                                           \
    "lsr.w " m ", " m ", #16\n"                                                                              \
    "usat " m ", #15, " m "\n"                                                                               \
    "add.w " s ", " s ", #17\n"                                                                              \
    "lsl.w " m ", " m ", " s "\n"
#define NN_SCALE(r, m) "smmulr " r ", " r ", " m "\n"
#define NN_SATURATE(r) "ssat " r ", #16, " r "\n"
#define NN_CLAMP(r)                                                                                          \
    "cmp " r ", r2\nit lt\nmovlt " r ", r2\n"                                                                \
    "cmp " r ", r12\nit gt\nmovgt " r ", r12\n"
/* clang-format off */
#define NN_FINISH                                                                                            \
    "ldrd r2, r12, [r3, #44]\n"                                                                              \
    "ldrd r0, lr, [r2], #8\n"                                                                                \
    "str r2, [r3, #44]\n"                                                                                    \
    "ldrsb.w r2, [r12], #2\n"                                                                                \
    "str.w r12, [r3, #48]\n"                                                                                 \
    "ldrsb.w r12, [r12, #-1]\n"                                                                              \
    NN_REDUCE("r0", "r2")                                                                                    \
    NN_REDUCE("lr", "r12")                                                                                   \
    "ldrh r2, [r3, #18]\n"                                                                                   \
    NN_SCALE("r4", "r0") NN_SCALE("r6", "r0") NN_SCALE("r8", "r0") NN_SCALE("r10", "r0")                     \
    NN_SCALE("r5", "lr") NN_SCALE("r7", "lr") NN_SCALE("r9", "lr") NN_SCALE("r11", "lr")                     \
    "cmp r2, #1\n"                                                                                           \
    "beq.n 3f\n"                                                                                             \
    "ldrsh.w r2, [r3, #24]\n"                                                                                \
    "ldrsh.w r12, [r3, #26]\n"                                                                               \
    NN_CLAMP("r4") NN_CLAMP("r5") NN_CLAMP("r6") NN_CLAMP("r7")                                              \
    NN_CLAMP("r8") NN_CLAMP("r9") NN_CLAMP("r10") NN_CLAMP("r11")                                            \
    "b.n 4f\n"                                                                                               \
    "3:\n"                                                                                                   \
    NN_SATURATE("r4") NN_SATURATE("r5") NN_SATURATE("r6") NN_SATURATE("r7")                                  \
    NN_SATURATE("r8") NN_SATURATE("r9") NN_SATURATE("r10") NN_SATURATE("r11")                                \
    "4:\n"
/* clang-format on */

#include "nn_mac_4x2.inc"
