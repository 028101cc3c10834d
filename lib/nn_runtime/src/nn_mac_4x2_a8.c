#define NN_FUNCTION nn_mac_4x2_a8
#define NN_OUT nn_mac_out_affine
#define NN_NEXT(block) ((block)->multipliers += 2, (block)->filter_shifts += 2)

/* Multiplier m, offset r12, shift r2. */
#define NN_SCALE(r, m)                                                                                       \
    "lsl.w " r ", " r ", #1\n"                                                                               \
    "smmulr " r ", " r ", " m "\n"                                                                           \
    "add.w " r ", " r ", " r ", asr #31\n"                                                                   \
    "add.w " r ", " r ", r12\n"                                                                              \
    "asr.w " r ", " r ", r2\n"                                                                               \
    "ssat " r ", #8, " r "\n"
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
    "ldr.w r12, [r3, #20]\n"                                                                                 \
    "mvn.w r3, r2\n" /* -1 - shift */                                                                        \
    "rsb.w r2, r2, #0\n"                                                                                     \
    "lsl.w r12, r12, r3\n"                                                                                   \
    NN_SCALE("r4", "r0") NN_SCALE("r6", "r0") NN_SCALE("r8", "r0") NN_SCALE("r10", "r0")                     \
    "ldr r3, [sp, #4]\n"                                                                                     \
    "ldr r2, [r3, #48]\n"                                                                                    \
    "ldr.w r12, [r3, #20]\n"                                                                                 \
    "ldrsb r2, [r2, #-1]\n"                                                                                  \
    "mvn.w r0, r2\n"                                                                                         \
    "rsb.w r2, r2, #0\n"                                                                                     \
    "lsl.w r12, r12, r0\n"                                                                                   \
    NN_SCALE("r5", "lr") NN_SCALE("r7", "lr") NN_SCALE("r9", "lr") NN_SCALE("r11", "lr")                     \
    "ldrh r2, [r3, #18]\n"                                                                                    \
    "cmp r2, #1\n"                                                                                           \
    "beq.n 3f\n"                                                                                             \
    "ldrsh.w r2, [r3, #24]\n"                                                                                \
    "ldrsh.w r12, [r3, #26]\n"                                                                               \
    NN_CLAMP("r4") NN_CLAMP("r5") NN_CLAMP("r6") NN_CLAMP("r7")                                              \
    NN_CLAMP("r8") NN_CLAMP("r9") NN_CLAMP("r10") NN_CLAMP("r11")                                            \
    "3:\n"
/* clang-format on */
#include "nn_mac_8.inc"

#include "nn_mac_4x2.inc"
