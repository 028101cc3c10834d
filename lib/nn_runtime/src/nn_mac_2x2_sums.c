#include "nn_mac.h"
#include "nn_simd.h"

#if NN_DSP
/* Registers: r0 x, r1 w, r4-r11 sums, r2 r3 two positions, r12 lr two filters, so that no load is used by the
 * next instruction; 8 cycles and 32 bytes of code a pair. 8 pairs a turn as in nn_mac_4x2.inc. sp: sums, end
 * of w. */
#define NN_PAIR(before_last)                                                                                 \
    "ldr.w r12, [r1], #4\n"                                                                                  \
    "ldr.w r2, [r0], #4\n"                                                                                   \
    "ldr.w lr, [r1], #4\n"                                                                                   \
    "ldr.w r3, [r0], #12\n"                                                                                  \
    "smlald r4, r5, r12, r2\n"                                                                               \
    "smlald r6, r7, lr, r2\n"                                                                                \
    "smlald r8, r9, r12, r3\n" before_last "smlald r10, r11, lr, r3\n"

/* clang-format off */
#define NN_UNUSED __attribute__((unused))
__attribute__((naked)) void nn_mac_2x2_sums(NN_UNUSED const uint32_t *x, NN_UNUSED const uint32_t *w,
                                            NN_UNUSED uint32_t pairs, NN_UNUSED int64_t sums[2][2]) {
    __asm__(
        "push.w {r4-r11, lr}\n"
        "add.w r12, r1, r2, lsl #3\n"
        "push.w {r3, r12}\n"
        "rsb.w r2, r2, #0\n"
        "and.w r2, r2, #7\n" /* pairs to leave out of the first turn */
        "adr.w r12, 1f\n"
        "add.w r12, r12, r2, lsl #5\n"
        "orr.w r12, r12, #1\n"
        "ldm.w r3, {r4-r11}\n"
        "bx r12\n"
        ".balign 4\n"
        "1:\n"
        NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("")
        NN_PAIR("ldr.w r12, [sp, #4]\n")
        "cmp r1, r12\n"
        "bne.w 1b\n"
        "pop.w {r3, r12}\n"
        "stm.w r3, {r4-r11}\n"
        "pop.w {r4-r11, pc}\n");
}
/* clang-format on */
#else
void nn_mac_2x2_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int64_t sums[2][2]) {
    for (; pairs > 0u; pairs--) {
        for (uint32_t p = 0; p < 2u; p++) {
            sums[p][0] = nn_smlald(x[p], w[0], sums[p][0]);
            sums[p][1] = nn_smlald(x[p], w[1], sums[p][1]);
        }
        x += 4;
        w += 2;
    }
}
#endif
