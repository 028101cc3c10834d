#include "nn_mac_f32.h"

#if defined(__thumb2__) && defined(__ARM_FP) && defined(__GNUC__) && !defined(__aarch64__)
/* r0 r4-r8 x of the positions, r1 w, r2 loop, r3 runs of the row, r9 end of the run in w, r11 rows; s8-s31
 * sums, s0-s3 weights, s4 s5 x, s6 s7 products. No result is used by the next instruction. 4 elements a turn:
 * the loop fits the 1 KiB instruction cache of an STM32L4. The first turn starts in the middle when the run
 * is no multiple of 4. VMLA rounds twice like VMUL and VADD; it takes 3 cycles, but integer instructions
 * behind it none. */

#define NN_WEIGHTS(w, x)                                                                                     \
    "vldr s0, [r1, #" w "]\n"                                                                                \
    "vldr s1, [r1, #" w "+4]\n"                                                                              \
    "vldr s2, [r1, #" w "+8]\n"                                                                              \
    "vldr s3, [r1, #" w "+12]\n"                                                                             \
    "vldr s4, [r0, #" x "]\n"

/* One element at all positions, 58 instructions of 4 bytes. */
#define NN_ELEMENT(w, x)                                                                                     \
    NN_WEIGHTS(w, x)                                                                                         \
    NN_PRODUCTS("vldr s5, [r4, #" x "]\n", "s4", "s8", "s9", "s10", "s11")                                   \
    NN_PRODUCTS("vldr s4, [r5, #" x "]\n", "s5", "s12", "s13", "s14", "s15")                                 \
    NN_PRODUCTS("vldr s5, [r6, #" x "]\n", "s4", "s16", "s17", "s18", "s19")                                 \
    NN_PRODUCTS("vldr s4, [r7, #" x "]\n", "s5", "s20", "s21", "s22", "s23")                                 \
    NN_PRODUCTS("vldr s5, [r8, #" x "]\n", "s4", "s24", "s25", "s26", "s27")                                 \
    NN_PRODUCTS("", "s5", "s28", "s29", "s30", "s31")

__attribute__((naked)) void nn_mac_6x4_f32(__attribute__((unused)) nn_mac_f32 *loop) {
    __asm__("push.w {r4-r11, lr}\n"
            "vpush {s16-s31}\n"
            "mov r2, r0\n"
            "0:\n"
            "ldr r4, [r2, #24]\n" /* bias */
            "ldr r0, [r2, #28]\n" /* x */
            "vldm r4!, {s8-s11}\n"
            "ldr r1, [r2, #32]\n" /* w */
            "str r4, [r2, #24]\n"
            "vmov.f32 s12, s8\n"
            "vmov.f32 s13, s9\n"
            "vmov.f32 s14, s10\n"
            "vmov.f32 s15, s11\n"
            "vmov.f32 s16, s12\n"
            "vmov.f32 s17, s13\n"
            "vmov.f32 s18, s14\n"
            "vmov.f32 s19, s15\n"
            "vmov.f32 s20, s16\n"
            "vmov.f32 s21, s17\n"
            "vmov.f32 s22, s18\n"
            "vmov.f32 s23, s19\n"
            "vmov.f32 s24, s20\n"
            "vmov.f32 s25, s21\n"
            "vmov.f32 s26, s22\n"
            "vmov.f32 s27, s23\n"
            "vmov.f32 s28, s24\n"
            "vmov.f32 s29, s25\n"
            "vmov.f32 s30, s26\n"
            "vmov.f32 s31, s27\n"
            "ldr.w r12, [r2, #8]\n" /* step */
            "ldr.w r11, [r2]\n"     /* rows */
            "ldr r3, [r2, #48]\n"   /* cols */
            "add.w r4, r0, r12\n"
            "add.w r5, r4, r12\n"
            "add.w r6, r5, r12\n"
            "add.w r7, r6, r12\n"
            "add.w r8, r7, r12\n"
            "2:\n"
            "ldr.w r10, [r2, #4]\n" /* run */
            "movs.w lr, #232\n"
            "add.w r9, r1, r10, lsl #4\n"
            "rsb.w r10, r10, #0\n"
            "and.w r10, r10, #3\n" /* elements to leave out of the first turn */
            "sub.w r1, r1, r10, lsl #4\n"
            "sub.w r0, r0, r10, lsl #2\n"
            "sub.w r4, r4, r10, lsl #2\n"
            "sub.w r5, r5, r10, lsl #2\n"
            "sub.w r6, r6, r10, lsl #2\n"
            "sub.w r7, r7, r10, lsl #2\n"
            "sub.w r8, r8, r10, lsl #2\n"
            "adr.w r12, 1f\n"
            "mla r12, r10, lr, r12\n"
            "orr.w r12, r12, #1\n"
            "bx r12\n"
            ".balign 4\n"
            "1:\n" NN_ELEMENT("0", "0") NN_ELEMENT("16", "4") NN_ELEMENT("32", "8") NN_WEIGHTS("48", "12")
                NN_PRODUCTS("vldr s5, [r4, #12]\n", "s4", "s8", "s9", "s10", "s11")
                    NN_PRODUCTS("vldr s4, [r5, #12]\n", "s5", "s12", "s13", "s14", "s15")
                        NN_PRODUCTS("vldr s5, [r6, #12]\n", "s4", "s16", "s17", "s18", "s19")
                            NN_PRODUCTS("vldr s4, [r7, #12]\n", "s5", "s20", "s21", "s22",
                                        "s23") "vldr s6, [r8, #12]\n"
                                               "vmla.f32 s24, s4, s0\n"
                                               "add.w r0, r0, #16\n"
                                               "add.w r4, r4, #16\n"
                                               "vmla.f32 s25, s4, s1\n"
                                               "add.w r5, r5, #16\n"
                                               "add.w r6, r6, #16\n"
                                               "vmla.f32 s26, s4, s2\n"
                                               "add.w r7, r7, #16\n"
                                               "add.w r8, r8, #16\n"
                                               "vmul.f32 s5, s4, s3\n"
                                               "vmul.f32 s7, s6, s0\n"
                                               "vadd.f32 s27, s27, s5\n"
                                               "vadd.f32 s28, s28, s7\n"
                                               "vmul.f32 s5, s6, s1\n"
                                               "vmla.f32 s30, s6, s2\n"
                                               "add.w r1, r1, #64\n"
                                               "cmp r1, r9\n"
                                               "vadd.f32 s29, s29, s5\n"
                                               "vmla.f32 s31, s6, s3\n"
                                               "bne.w 1b\n"
                                               "subs.w r3, r3, #1\n"
                                               "ldr.w r12, [r2, #52]\n" /* hop */
                                               "bne.n 4f\n"
                                               "subs.w r11, r11, #1\n"
                                               "beq.n 3f\n"
                                               "ldr.w r12, [r2, #12]\n" /* skip */
                                               "ldr.w lr, [r2, #16]\n"  /* w_skip */
                                               "ldr r3, [r2, #48]\n"
                                               "add.w r1, r1, lr\n"
                                               "4:\n"
                                               "add.w r0, r0, r12\n"
                                               "add.w r4, r4, r12\n"
                                               "add.w r5, r5, r12\n"
                                               "add.w r6, r6, r12\n"
                                               "add.w r7, r7, r12\n"
                                               "add.w r8, r8, r12\n"
                                               "b.n 2b\n"
                                               "3:\n"
                                               "ldr r3, [r2, #44]\n"  /* y */
                                               "ldr r12, [r2, #20]\n" /* y_step */
                                               "add.w r4, r3, #16\n"
                                               "str r4, [r2, #44]\n"
                                               "vstm r3, {s8-s11}\n"
                                               "add r3, r12\n"
                                               "vstm r3, {s12-s15}\n"
                                               "add r3, r12\n"
                                               "vstm r3, {s16-s19}\n"
                                               "add r3, r12\n"
                                               "vstm r3, {s20-s23}\n"
                                               "add r3, r12\n"
                                               "vstm r3, {s24-s27}\n"
                                               "add r3, r12\n"
                                               "vstm r3, {s28-s31}\n"
                                               "ldr r1, [r2, #32]\n"
                                               "ldr r3, [r2, #36]\n" /* w_filters */
                                               "ldr r4, [r2, #40]\n" /* count */
                                               "add r1, r3\n"
                                               "str r1, [r2, #32]\n"
                                               "subs r4, #1\n"
                                               "str r4, [r2, #40]\n"
                                               "bne.w 0b\n"
                                               "vpop {s16-s31}\n"
                                               "pop.w {r4-r11, pc}\n");
}
#else
void nn_mac_6x4_f32(nn_mac_f32 *loop) {
    for (uint32_t p = 0; p < 6u; p++) {
        nn_mac_f32 one = *loop;
        one.x += p * (loop->step / 4u);
        one.y += p * (loop->y_step / 4u);
        nn_mac_1x4_f32(&one);
    }
}
#endif
