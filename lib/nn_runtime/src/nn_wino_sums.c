#include "nn_simd.h"
#include "nn_wino.h"

#if NN_DSP
/* Registers as in nn_mac_4x2.inc. On the stack: sp end of w for this k, sp + 4 and + 8 what takes x and w to
 * the next k, sp + 12 m, sp + 16 start of the first turn, sp + 20 end of m. */
#define NN_PAIR(before_last)                                                                                 \
    "ldr.w r2, [r1], #4\n"                                                                                   \
    "ldr.w r3, [r1], #44\n"                                                                                  \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    "ldr.w lr, [r0], #4\n"                                                                                   \
    "smlad r4, r12, r2, r4\n"                                                                                \
    "smlad r5, r12, r3, r5\n"                                                                                \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    "smlad r6, lr, r2, r6\n"                                                                                 \
    "smlad r7, lr, r3, r7\n"                                                                                 \
    "ldr.w lr, [r0], #84\n"                                                                                  \
    "smlad r8, r12, r2, r8\n"                                                                                \
    "smlad r9, r12, r3, r9\n" before_last "smlad r10, lr, r2, r10\n"                                         \
    "smlad r11, lr, r3, r11\n"

__attribute__((naked)) void nn_wino_sums(__attribute__((unused)) const uint32_t *x,
                                         __attribute__((unused)) const uint32_t *w,
                                         __attribute__((unused)) uint32_t pairs,
                                         __attribute__((unused)) int32_t *m) {
    __asm__("push.w {r4-r11, lr}\n"
            "sub sp, #24\n"
            "movs r4, #48\n"
            "mul r5, r2, r4\n" /* bytes of w */
            "add.w r6, r1, r5\n"
            "str r6, [sp]\n"
            "sub.w r6, r5, #8\n"
            "str r6, [sp, #8]\n"
            "lsl.w r6, r5, #1\n"
            "sub.w r6, r6, #16\n"
            "str r6, [sp, #4]\n"
            "str r3, [sp, #12]\n"
            "add.w r6, r3, #192\n"
            "str r6, [sp, #20]\n"
            "rsb.w r2, r2, #0\n"
            "and.w r2, r2, #7\n" /* pairs to leave out of the first turn */
            "movs r4, #56\n"
            "adr.w r12, 1f\n"
            "mla r12, r2, r4, r12\n"
            "orr.w r12, r12, #1\n"
            "str.w r12, [sp, #16]\n"
            "2:\n"
            "ldr.w r12, [sp, #16]\n"
            "movs r4, #0\n"
            "movs r5, #0\n"
            "movs r6, #0\n"
            "movs r7, #0\n"
            "mov r8, r4\n"
            "mov r9, r4\n"
            "mov r10, r4\n"
            "mov r11, r4\n"
            "bx r12\n"
            ".balign 4\n"
            "1:\n" NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("")
                NN_PAIR("ldr.w r12, [sp]\n") "cmp r1, r12\n"
                                             "bne.w 1b\n"
                                             "ldr r2, [sp, #12]\n"
                                             "add.w r12, r12, #8\n"
                                             "str.w r12, [sp]\n"
                                             "stm r2!, {r4-r7}\n"
                                             "stm.w r2!, {r8-r11}\n"
                                             "ldrd r3, r12, [sp, #4]\n"
                                             "str r2, [sp, #12]\n"
                                             "sub.w r0, r0, r3\n"
                                             "ldr r3, [sp, #20]\n"
                                             "sub.w r1, r1, r12\n"
                                             "cmp r2, r3\n"
                                             "bne.w 2b\n"
                                             "add sp, #24\n"
                                             "pop.w {r4-r11, pc}\n");
}
#else
void nn_wino_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *m) {
    for (uint32_t k = 0; k < 6u; k++) {
        for (uint32_t i = 0; i < 8u; i++) {
            int32_t sum = 0;
            for (uint32_t p = 0; p < pairs; p++) {
                sum = nn_smlad(x[(6u * p + k) * 4u + i / 2u], w[(6u * p + k) * 2u + i % 2u], sum);
            }
            *m++ = sum;
        }
    }
}
#endif
