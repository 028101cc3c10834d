#include "nn_wino_f32.h"

#if defined(__thumb2__) && defined(__ARM_FP) && defined(__GNUC__) && !defined(__aarch64__)
/* r0 x, r1 w, r3 products left, r4 start of the first turn, r5 from the end of a product back to the next,
 * r6 end of w of this product, r7 to; s16-s31 sums, s0-s3 weights, s4 s5 x, s6 s7 products. No result is used
 * by the next instruction. 4 channels a turn: the loop fits the 1 KiB instruction cache of an STM32L4. The
 * first turn starts in the middle when the channels are no multiple of 4. VMLA rounds twice like VMUL and
 * VADD; it takes 3 cycles, but integer instructions behind it none. */

/* One tile: s6 s7 = products with s4 or s5; `next` loads the other. */
#define NN_TILE(next, x, a, b, c, d)                                                                         \
    next "vmul.f32 s6, " x ", s0\n"                                                                          \
         "vmul.f32 s7, " x ", s1\n"                                                                          \
         "vadd.f32 " a ", " a ", s6\n"                                                                       \
         "vadd.f32 " b ", " b ", s7\n"                                                                       \
         "vmul.f32 s6, " x ", s2\n"                                                                          \
         "vmul.f32 s7, " x ", s3\n"                                                                          \
         "vadd.f32 " c ", " c ", s6\n"                                                                       \
         "vadd.f32 " d ", " d ", s7\n"

#define NN_TILES(at)                                                                                         \
    "vldr s0, [r1, #" at "]\n"                                                                               \
    "vldr s1, [r1, #" at "+4]\n"                                                                             \
    "vldr s2, [r1, #" at "+8]\n"                                                                             \
    "vldr s3, [r1, #" at "+12]\n"                                                                            \
    "vldr s4, [r0, #" at "]\n" NN_TILE("vldr s5, [r0, #" at "+4]\n", "s4", "s16", "s17", "s18", "s19")       \
        NN_TILE("vldr s4, [r0, #" at "+8]\n", "s5", "s20", "s21", "s22", "s23")                              \
            NN_TILE("vldr s5, [r0, #" at "+12]\n", "s4", "s24", "s25", "s26", "s27")

/* One channel, 40 instructions of 4 bytes. */
#define NN_CHANNEL(at) NN_TILES(at) NN_TILE("", "s5", "s28", "s29", "s30", "s31")

__attribute__((naked)) void
nn_wino_4x4_f32(__attribute__((unused)) const float *x, __attribute__((unused)) const float *w,
                __attribute__((unused)) uint32_t channels, __attribute__((unused)) uint32_t products,
                __attribute__((unused)) const float *sums, __attribute__((unused)) float *to) {
    __asm__("push.w {r4-r8, lr}\n"
            "vpush {s16-s31}\n"
            "ldrd r8, r7, [sp, #88]\n"
            "rsb.w r4, r2, #0\n"
            "and.w r4, r4, #3\n" /* channels to leave out of the first turn */
            "vldm r8, {s16-s31}\n"
            "movs r5, #96\n"
            "mla r6, r2, r5, r1\n"
            "mul r12, r4, r5\n"
            "sub.w r0, r0, r12\n"
            "sub.w r1, r1, r12\n"
            "subs r5, r6, r1\n"
            "subs r5, #16\n"
            "movs r2, #160\n"
            "adr.w r12, 1f + 1\n"
            "mla r4, r4, r2, r12\n"
            "bx r4\n"
            ".balign 4\n"
            "1:\n" NN_CHANNEL("0") NN_CHANNEL("96") NN_CHANNEL("192")
                NN_TILES("288") "vmla.f32 s28, s5, s0\n"
                                "add.w r1, r1, #384\n"
                                "add.w r0, r0, #384\n"
                                "vmul.f32 s6, s5, s1\n"
                                "vmul.f32 s7, s5, s2\n"
                                "cmp r1, r6\n"
                                "vadd.f32 s29, s29, s6\n"
                                "vadd.f32 s30, s30, s7\n"
                                "vmla.f32 s31, s5, s3\n"
                                "bne.w 1b\n"
                                "sub.w r0, r0, r5\n"
                                "sub.w r1, r1, r5\n"
                                "adds r6, #16\n"
                                "vstm r7!, {s16-s31}\n"
                                "subs r3, #1\n"
                                "beq.n 2f\n"
                                "bx r4\n"
                                "2:\n"
                                "vpop {s16-s31}\n"
                                "pop.w {r4-r8, pc}\n");
}
#else
void nn_wino_4x4_f32(const float *x, const float *w, uint32_t channels, uint32_t products, const float *sums,
                     float *to) {
    for (uint32_t k = 0; k < products; k++) {
        for (uint32_t i = 0; i < 16u; i++) {
            const float *xi = x + 4u * k + i / 4u;
            const float *wi = w + 4u * k + i % 4u;
            float sum = sums[i];
            for (uint32_t c = 0; c < channels; c++) {
                sum += xi[24u * c] * wi[24u * c];
            }
            to[i] = sum;
        }
        sums = to;
        to += 16;
    }
}
#endif
