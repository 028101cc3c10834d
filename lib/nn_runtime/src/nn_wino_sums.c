#include "nn_simd.h"
#include "nn_wino.h"

#if NN_DSP
/* Registers as in nn_mac_4x2.inc; the first pair of each k starts the sums, the others go 8 a turn. On the
 * stack: sp end of w for this k, sp + 4 what takes w (twice: x) to the next k, sp + 12 m, sp + 16 start of
 * the first turn, sp + 20 end of m for this group, sp + 24 groups, sp + 64 groups left and sp + 68 rows left
 * (arguments). */
#define NN_ADD(r, x, w) "smlad " r ", " x ", " w ", " r "\n"
#define NN_SET(r, x, w) "smuad " r ", " x ", " w "\n"
/* clang-format off */
#define NN_PAIR(sum, before_last)                                                                            \
    "ldr.w r2, [r1], #4\n"                                                                                   \
    "ldr.w r3, [r1], #44\n"                                                                                  \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    "ldr.w lr, [r0], #4\n"                                                                                   \
    sum("r4", "r12", "r2") sum("r5", "r12", "r3")                                                            \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    sum("r6", "lr", "r2") sum("r7", "lr", "r3")                                                              \
    "ldr.w lr, [r0], #84\n"                                                                                  \
    sum("r8", "r12", "r2") sum("r9", "r12", "r3")                                                            \
    before_last                                                                                              \
    sum("r10", "lr", "r2") sum("r11", "lr", "r3")

__attribute__((naked)) void nn_wino_sums(__attribute__((unused)) const uint32_t *x,
                                         __attribute__((unused)) const uint32_t *w,
                                         __attribute__((unused)) uint32_t pairs,
                                         __attribute__((unused)) int32_t *m,
                                         __attribute__((unused)) uint32_t groups,
                                         __attribute__((unused)) uint32_t rows) {
    __asm__("push.w {r4-r11, lr}\n"
            "sub sp, #28\n"
            "ldr r4, [sp, #64]\n"
            "str r4, [sp, #24]\n"
            "movs r4, #48\n"
            "mul r5, r2, r4\n" /* bytes of w */
            "add.w r6, r1, r5\n"
            "str r6, [sp]\n"
            "sub.w r6, r5, #8\n"
            "str r6, [sp, #4]\n"
            "str r3, [sp, #12]\n"
            "add.w r6, r3, #192\n"
            "str r6, [sp, #20]\n"
            "rsb.w r2, r2, #1\n"
            "and.w r2, r2, #7\n" /* pairs to leave out of the first turn */
            "movs r4, #56\n"
            "adr.w r12, 1f\n"
            "mla r12, r2, r4, r12\n"
            "orr.w r12, r12, #1\n"
            "str.w r12, [sp, #16]\n"
            "2:\n"
            NN_PAIR(NN_SET, "ldr.w r12, [sp, #16]\n")
            "bx r12\n"
            ".balign 4\n"
            "1:\n"
            NN_PAIR(NN_ADD, "") NN_PAIR(NN_ADD, "") NN_PAIR(NN_ADD, "") NN_PAIR(NN_ADD, "")
            NN_PAIR(NN_ADD, "") NN_PAIR(NN_ADD, "") NN_PAIR(NN_ADD, "")
            NN_PAIR(NN_ADD, "ldr.w r12, [sp]\n")
            "cmp r1, r12\n"
            "bne.w 1b\n"
            "ldr r2, [sp, #12]\n"
            "add.w r12, r12, #8\n"
            "str.w r12, [sp]\n"
            "stm.w r2!, {r4-r11}\n"
            "ldr r3, [sp, #4]\n"
            "ldr r4, [sp, #20]\n"
            "str r2, [sp, #12]\n"
            "subs r1, r1, r3\n"
            "sub.w r0, r0, r3, lsl #1\n"
            "cmp r2, r4\n"
            "bne.w 2b\n"
            /* the next group: w from its start, m and x go on */
            "adds r4, #192\n"
            "str r4, [sp, #20]\n"
            "ldr r4, [sp, #64]\n"
            "subs r1, #48\n"
            "subs r4, #1\n"
            "str r4, [sp, #64]\n"
            "ldr r2, [sp]\n"
            "add.w r0, r0, r3, lsl #1\n"
            "subs r0, #80\n"
            "sub.w r2, r2, #48\n"
            "str r2, [sp]\n"
            "cmp r4, #0\n"
            "bne.w 2b\n"
            /* the next row: w goes on too */
            "ldr r5, [sp, #68]\n"
            "ldr r4, [sp, #24]\n"
            "subs r5, #1\n"
            "strd r4, r5, [sp, #64]\n"
            "add.w r3, r3, #8\n"
            "add.w r1, r1, r3\n"
            "add.w r2, r2, r3\n"
            "str r2, [sp]\n"
            "bne.w 2b\n"
            "add sp, #28\n"
            "pop.w {r4-r11, pc}\n");
}
/* clang-format on */
#else
void nn_wino_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *m, uint32_t groups,
                  uint32_t rows) {
    for (uint32_t n = 0; n < rows * groups; n++) {
        const uint32_t *row = w + n / groups * pairs * 12u;
        for (uint32_t k = 0; k < 6u; k++) {
            for (uint32_t i = 0; i < 8u; i++) {
                int32_t sum = 0;
                for (uint32_t p = 0; p < pairs; p++) {
                    sum = nn_smlad(x[(6u * p + k) * 4u + i / 2u], row[(6u * p + k) * 2u + i % 2u], sum);
                }
                *m++ = sum;
            }
        }
        x += 24u * pairs;
    }
}
#endif
