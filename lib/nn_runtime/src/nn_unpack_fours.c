#include "nn_simd.h"
#include "nn_unpack.h"

#if NN_DSP
/* clang-format off */
#define NN_FIELDS                                                                                            \
    "lsl.w lr, r12, r9\n"                                                                                    \
    "pkhbt lr, r12, lr\n"                                                                                    \
    "and.w lr, lr, r10\n"                                                                                    \
    "ssub16 lr, lr, r11\n"
#define NN_NEXT(bytes, shift)                                                                                \
    "ldr.w r12, [r0, " bytes "]\n"                                                                           \
    "str.w lr, [r1], #4\n"                                                                                   \
    "lsr.w r12, r12, " shift "\n"                                                                            \
    NN_FIELDS

__attribute__((naked)) void nn_unpack_fours(__attribute__((unused)) const nn_unpack_work *work) {
    __asm__(
        "push.w {r4-r11, lr}\n"
        "ldm.w r0, {r0-r11}\n"
        ".balign 4\n"
        "1: ldr.w r12, [r0]\n"
        "cmp r1, r2\n"
        NN_FIELDS
        NN_NEXT("r3", "r6")
        NN_NEXT("r4", "r7")
        NN_NEXT("r5", "r8")
        "sub.w r0, r0, r9\n"
        "add.w r0, r0, #16\n"
        "str.w lr, [r1], #4\n"
        "bne.n 1b\n"
        "pop.w {r4-r11, pc}\n");
}
/* clang-format on */
#endif
