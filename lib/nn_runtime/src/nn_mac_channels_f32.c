#include "nn_mac_f32.h"

#if defined(__thumb2__) && defined(__ARM_FP) && defined(__GNUC__) && !defined(__aarch64__)
/* r0 work, r1 x and y, r2 w and bias, r3 rows, r4 cols, r5 x_tap, r6 w_tap, r7 count, r8 skips; r9 r10 r11
 * r12 where the four parts begin at the first quad that is there, the last one is 0. s8-s23 sums, s0-s3
 * weights, s4-s7 x, s24 minimum, s25 maximum. No result is used by the next instruction. All fits the 1 KiB
 * instruction cache of an STM32L4. */

#define NN_MORE_QUADS(part)                                                                                  \
    part("48", "s20", "s21", "s22", "s23") part("32", "s16", "s17", "s18", "s19")                            \
        part("16", "s12", "s13", "s14", "s15")
#define NN_QUADS(part) NN_MORE_QUADS(part) part("0", "s8", "s9", "s10", "s11")

#define NN_FOUR(instruction, from, at, a, b, c, d)                                                           \
    instruction " " a ", [" from ", #" at "]\n" instruction " " b ", [" from ", #" at "+4]\n" instruction    \
                " " c ", [" from ", #" at "+8]\n" instruction " " d ", [" from ", #" at "+12]\n"

/* 16 bytes */
#define NN_BIAS(at, a, b, c, d) NN_FOUR("vldr", "r2", at, a, b, c, d)

#define NN_LOADS(at)                                                                                         \
    NN_FOUR("vldr", "r2", at, "s0", "s1", "s2", "s3") NN_FOUR("vldr", "r1", at, "s4", "s5", "s6", "s7")

/* 64 bytes */
#define NN_TAP(at, a, b, c, d)                                                                               \
    NN_LOADS(at)                                                                                             \
    "vmul.f32 s4, s4, s0\n"                                                                                  \
    "vmul.f32 s5, s5, s1\n"                                                                                  \
    "vmul.f32 s6, s6, s2\n"                                                                                  \
    "vmul.f32 s7, s7, s3\n"                                                                                  \
    "vadd.f32 " a ", " a ", s4\n"                                                                            \
    "vadd.f32 " b ", " b ", s5\n"                                                                            \
    "vadd.f32 " c ", " c ", s6\n"                                                                            \
    "vadd.f32 " d ", " d ", s7\n"

/* 56 bytes */
#define NN_MAXIMUM(at, a, b, c, d)                                                                           \
    NN_BOUND(a, "s25", "gt") NN_BOUND(b, "s25", "gt") NN_BOUND(c, "s25", "gt") NN_BOUND(d, "s25", "gt")

/* 72 bytes */
#define NN_MINIMUM(at, a, b, c, d)                                                                           \
    NN_BOUND(a, "s24", "mi")                                                                                 \
    NN_BOUND(b, "s24", "mi")                                                                                 \
    NN_BOUND(c, "s24", "mi") NN_BOUND(d, "s24", "mi") NN_FOUR("vstr", "r1", at, a, b, c, d)

/* to = where the part `label` of `bytes` a quad begins; r4 quads that are missing */
#define NN_BEGINNING(to, label, bytes)                                                                       \
    "adr.w " to ", " label "\n"                                                                              \
    "movs r5, #" bytes "\n"                                                                                  \
    "mla " to ", r4, r5, " to "\n"                                                                           \
    "orr.w " to ", " to ", #1\n"

/* clang-format off */
__attribute__((naked)) void nn_mac_channels_f32(__attribute__((unused)) nn_mac_channels *work) {
    __asm__(
        "push.w {r4-r11, lr}\n"
        "vpush {s16-s25}\n"
        "vldr s24, [r0, #60]\n"
        "vldr s25, [r0, #64]\n"
        "ldrd r7, r4, [r0, #48]\n" /* count, missing */
        "ldr r3, [r0, #56]\n" /* has_max */
        NN_BEGINNING("r9", "1f", "16")
        NN_BEGINNING("r10", "2f", "64")
        NN_BEGINNING("r12", "4f", "72")
        "mov r11, r12\n"
        "cbz r3, 0f\n"
        NN_BEGINNING("r11", "3f", "56")
        "0:\n"
        "ldr r2, [r0, #8]\n" /* bias */
        "ldrd r3, r4, [r0, #16]\n" /* rows, cols */
        "bx r9\n"
        ".balign 4\n"
        "1:\n"
        NN_QUADS(NN_BIAS)
        "ldr r1, [r0, #12]\n" /* y */
        "cmp r4, #0\n"
        "it ne\n"
        "cmpne r3, #0\n"
        "it eq\n"
        "bxeq r11\n"
        "ldrd r1, r2, [r0]\n" /* x, w */
        "ldrd r5, r6, [r0, #24]\n" /* x_tap, w_tap */
        "bx r10\n"
        ".balign 4\n"
        "2:\n"
        NN_MORE_QUADS(NN_TAP)
        NN_LOADS("0")
        "vmul.f32 s4, s4, s0\n"
        "vmul.f32 s5, s5, s1\n"
        "vmla.f32 s10, s6, s2\n" /* rounds twice, integers beside it */
        "add r1, r5\n"
        "add r2, r6\n"
        "vadd.f32 s8, s8, s4\n"
        "vadd.f32 s9, s9, s5\n"
        "vmla.f32 s11, s7, s3\n"
        "subs r4, #1\n"
        "it ne\n"
        "bxne r10\n"
        "ldrd r8, r4, [r0, #32]\n" /* x_skip, w_skip */
        "subs r3, #1\n"
        "add r1, r8\n"
        "add r2, r4\n"
        "ldr r4, [r0, #20]\n"
        "it ne\n"
        "bxne r10\n"
        "ldr r1, [r0, #12]\n" /* y */
        "bx r11\n"
        ".balign 4\n"
        "3:\n"
        NN_QUADS(NN_MAXIMUM)
        "bx r12\n"
        ".balign 4\n"
        "4:\n"
        NN_QUADS(NN_MINIMUM)
        "ldr r2, [r0]\n"
        "ldrd r3, r4, [r0, #40]\n" /* x_step, y_step */
        "subs r7, #1\n"
        "add r2, r3\n"
        "add r1, r4\n"
        "str r2, [r0]\n"
        "str r1, [r0, #12]\n"
        "bne.w 0b\n"
        "vpop {s16-s25}\n"
        "pop.w {r4-r11, pc}\n");
}
/* clang-format on */
#else
void nn_mac_channels_f32(nn_mac_channels *work) {
    for (uint32_t c = 0; c < 4u * (NN_MOST_QUADS - work->missing); c++) {
        nn_mac_channels one = *work;
        one.x += c;
        one.w += c;
        one.bias += c;
        one.y += c;
        nn_mac_channel_f32(&one);
    }
}
#endif
