#include "nn_mac_f32.h"
#include "nn_requant.h"
#include "nn_wino_f32.h"

#if defined(__thumb2__) && defined(__ARM_FP) && defined(__GNUC__) && !defined(__aarch64__)
/* In the turns: r0 x, r1 w, r2 what follows the turns, r3 groups left, r4 start of the first turn, r5 from
 * the end of a product back to the next, r6 end of w of this product, r7 bytes of x of a group, r8 sums in
 * memory, r9 work, r10 y, r11 step of y, r12 clamp; s16-s31 sums, s0-s3 weights, s4 s5 x, s6 s7 products. No
 * result is used by the next instruction. 4 channels a turn: the loop fits the 1 KiB instruction cache of an
 * STM32L4. The first turn starts in the middle when the channels are no multiple of 4. VMLA rounds twice like
 * VMUL and VADD; it takes 3 cycles, but integer instructions behind it none.
 *
 * On the stack the sums [4][4 tiles][4 filters], behind the products
 *
 *   1   first = b + m1        then y0 without its products
 *   2   p = b + m1 + m2
 *   3   third = m3
 *   4   r = m3 + m4           then y3 without its products */

#define NN_TILES(at)                                                                                         \
    "vldr s0, [r1, #" at "]\n"                                                                               \
    "vldr s1, [r1, #" at "+4]\n"                                                                             \
    "vldr s2, [r1, #" at "+8]\n"                                                                             \
    "vldr s3, [r1, #" at "+12]\n"                                                                            \
    "vldr s4, [r0, #" at "]\n" NN_PRODUCTS("vldr s5, [r0, #" at "+4]\n", "s4", "s16", "s17", "s18", "s19")   \
        NN_PRODUCTS("vldr s4, [r0, #" at "+8]\n", "s5", "s20", "s21", "s22", "s23")                          \
            NN_PRODUCTS("vldr s5, [r0, #" at "+12]\n", "s4", "s24", "s25", "s26", "s27")

/* One channel, 40 instructions of 4 bytes. */
#define NN_CHANNEL(at) NN_TILES(at) NN_PRODUCTS("", "s5", "s28", "s29", "s30", "s31")

/* Four registers, one for each filter, and operations on them. */
#define NN_S0 "s0", "s1", "s2", "s3"
#define NN_S4 "s4", "s5", "s6", "s7"
#define NN_S8 "s8", "s9", "s10", "s11"
#define NN_S12 "s12", "s13", "s14", "s15"
#define NN_S16 "s16", "s17", "s18", "s19"
#define NN_S20 "s20", "s21", "s22", "s23"
#define NN_S24 "s24", "s25", "s26", "s27"
#define NN_ALL(s) s, s, s, s
#define NN_EACH(...) NN_EACH_(__VA_ARGS__)
#define NN_EACH_(what, t0, t1, t2, t3, a0, a1, a2, a3, b0, b1, b2, b3)                                       \
    what " " t0 ", " a0 ", " b0 "\n" what " " t1 ", " a1 ", " b1 "\n" what " " t2 ", " a2 ", " b2 "\n" what  \
         " " t3 ", " a3 ", " b3 "\n"
#define NN_MOVE(...) NN_MOVE_(__VA_ARGS__)
#define NN_MOVE_(what, at, s0, s1, s2, s3)                                                                   \
    what " " s0 ", [r8, #" at "]\n" what " " s1 ", [r8, #" at "+4]\n" what " " s2 ", [r8, #" at "+8]\n" what \
         " " s3 ", [r8, #" at "+12]\n"
#define NN_SET(what, value)                                                                                  \
    what " s16, " value "\n" what " s17, " value "\n" what " s18, " value "\n" what " s19, " value "\n" what \
         " s20, " value "\n" what " s21, " value "\n" what " s22, " value "\n" what " s23, " value "\n" what \
         " s24, " value "\n" what " s25, " value "\n" what " s26, " value "\n" what " s27, " value "\n" what \
         " s28, " value "\n" what " s29, " value "\n" what " s30, " value "\n" what " s31, " value "\n"

/* The clamp of s8-s11 and s20-s23: not below s28, not above s29. */
#define NN_BOUNDS(...) NN_BOUNDS_(__VA_ARGS__)
#define NN_BOUNDS_(bound, condition, a, b, c, d, e, f, g, h)                                                 \
    NN_BOUND(a, bound, condition)                                                                            \
    NN_BOUND(b, bound, condition)                                                                            \
    NN_BOUND(c, bound, condition)                                                                            \
    NN_BOUND(d, bound, condition)                                                                            \
    NN_BOUND(e, bound, condition)                                                                            \
    NN_BOUND(f, bound, condition) NN_BOUND(g, bound, condition) NN_BOUND(h, bound, condition)
#define NN_MINIMUM NN_BOUNDS("s28", "mi", NN_S8, NN_S20)
#define NN_MAXIMUM NN_BOUNDS("s29", "gt", NN_S8, NN_S20)

/* clang-format off */
__attribute__((naked)) void nn_wino_4x4_f32(__attribute__((unused)) const nn_wino_f32 *work) {
    __asm__(
        "push.w {r4-r11, lr}\n"
        "vpush {s16-s31}\n"
        "sub sp, #256\n"
        "mov r9, r0\n"
        "ldr.w r2, [r9, #8]\n"
        "ldr.w r0, [r9]\n"
        "ldr.w r3, [r9, #12]\n"
        "ldrd r10, r11, [r9, #44]\n"
        "rsb.w r4, r2, #0\n"
        "and.w r4, r4, #3\n" /* channels to leave out of the first turn */
        "movs r5, #96\n"
        "mul r7, r2, r5\n"
        "mul r12, r4, r5\n"
        "add.w r5, r7, r12\n"
        "subs r5, #16\n"
        "movs r2, #160\n"
        "adr.w lr, 1f + 1\n"
        "mla r4, r4, r2, lr\n"
        "sub.w r0, r0, r12\n"
        "ldr.w r12, [r9, #40]\n"
        "2:\n" /* a group */
        "ldr.w r1, [r9, #4]\n"
        "add.w r2, r9, #16\n"
        "vldm r2, {s16-s19}\n"
        "adds r6, r1, r7\n"
        "subs r1, r6, r5\n"
        "subs r1, #16\n"
        "vldm r2, {s20-s23}\n"
        "vldm r2, {s24-s27}\n"
        "vldm r2, {s28-s31}\n"
        "mov r8, sp\n"
        "adr.w r2, 3f + 1\n"
        "bx r4\n"
        ".balign 4\n"
        "1:\n"
        NN_CHANNEL("0") NN_CHANNEL("96") NN_CHANNEL("192")
        NN_TILES("288")
        "vmla.f32 s28, s5, s0\n"
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
        "bx r2\n"
        "3:\n" /* behind product 1 */
        "vstm r8!, {s16-s31}\n"
        "adr.w r2, 4f + 1\n"
        "bx r4\n"
        "4:\n" /* 2 */
        "vstm r8!, {s16-s31}\n"
        "movs r2, #0\n"
        NN_SET("vmov", "r2")
        "adr.w r2, 5f + 1\n"
        "bx r4\n"
        "5:\n" /* 3 */
        "vstm r8!, {s16-s31}\n"
        "adr.w r2, 6f + 1\n"
        "bx r4\n"
        "6:\n" /* 4 */
        "vstm r8, {s16-s31}\n"
        "mov r8, sp\n"
        "add.w r2, r10, r11\n"
        "vldr s28, [r9, #32]\n"
        "vldr s29, [r9, #36]\n"
        "vmov.f32 s30, #4.0\n"
        "vmov.f32 s31, #8.0\n"
        "7:\n" /* a tile: its outputs 1 and 2 */
        NN_MOVE("vldr", "0", NN_S0) /* first */
        NN_MOVE("vldr", "64", NN_S4) /* p */
        NN_MOVE("vldr", "128", NN_S8) /* third */
        NN_MOVE("vldr", "192", NN_S12) /* r */
        NN_EACH("vadd.f32", NN_S0, NN_S0, NN_S0)
        NN_EACH("vadd.f32", NN_S8, NN_S8, NN_S8)
        NN_EACH("vadd.f32", NN_S16, NN_S4, NN_S12)
        NN_EACH("vsub.f32", NN_S0, NN_S0, NN_S4) /* q = 2 first - p */
        NN_EACH("vsub.f32", NN_S8, NN_S8, NN_S12) /* s = 2 third - r */
        NN_EACH("vmul.f32", NN_S20, NN_S12, NN_ALL("s30"))
        NN_EACH("vmul.f32", NN_S24, NN_S8, NN_ALL("s31"))
        NN_EACH("vadd.f32", NN_S8, NN_S8, NN_S8)
        NN_EACH("vadd.f32", NN_S20, NN_S4, NN_S20)
        NN_EACH("vadd.f32", NN_S24, NN_S0, NN_S24)
        NN_EACH("vadd.f32", NN_S8, NN_S0, NN_S8)
        NN_MOVE("vstr", "0", NN_S16) /* p + r */
        NN_MOVE("vstr", "192", NN_S24) /* q + 8 s */
        "bl 20f\n"
        "vstm r2, {s8-s11}\n" /* q + 2 s */
        "add r2, r11\n"
        "add.w r8, r8, #16\n"
        "vstm r2, {s20-s23}\n" /* p + 4 r */
        "add.w r2, r2, r11, lsl #1\n"
        "add.w lr, sp, #64\n"
        "add r2, r11\n"
        "cmp r8, lr\n"
        "bne.w 7b\n"
        "mov r8, sp\n"
        "vldm r8, {s16-s31}\n"
        "adr.w r2, 8f + 1\n"
        "bx r4\n"
        "8:\n" /* behind product 0 */
        "vstm r8, {s16-s31}\n"
        "add.w r8, sp, #192\n"
        "vldm r8, {s16-s31}\n"
        "adr.w r2, 9f + 1\n"
        "bx r4\n"
        "9:\n" /* 5 */
        "vstm r8, {s16-s31}\n"
        "mov r8, sp\n"
        "vldr s28, [r9, #32]\n"
        "vldr s29, [r9, #36]\n"
        "10:\n" /* a tile: its outputs 0 and 3 */
        NN_MOVE("vldr", "0", NN_S8)
        NN_MOVE("vldr", "192", NN_S20)
        "bl 20f\n"
        "vstm r10, {s8-s11}\n"
        "add.w r10, r10, r11, lsl #1\n"
        "add.w r8, r8, #16\n"
        "add r10, r11\n"
        "add.w lr, sp, #64\n"
        "vstm r10, {s20-s23}\n"
        "add r10, r11\n"
        "cmp r8, lr\n"
        "bne.w 10b\n"
        "add r0, r7\n"
        "subs r0, #96\n"
        "subs r3, #1\n"
        "bne.w 2b\n"
        "add sp, #256\n"
        "vpop {s16-s31}\n"
        "pop.w {r4-r11, pc}\n"
        "20:\n"
        "cmp.w r12, #1\n"
        "blo.n 21f\n"
        NN_MINIMUM
        "cmp.w r12, #1\n"
        "beq.n 21f\n"
        NN_MAXIMUM
        "21:\n"
        "bx lr\n");
}
/* clang-format on */
#else
/* From the sums behind the products 1 to 4, m [4][16] with the bias in the first two: the outputs 1 and 2 and
 * what 0 and 3 go on from. */
static void nn_wino_combine(float *m) {
    for (uint32_t i = 0; i < 16u; i++) {
        const float p = m[i + 16u];
        const float r = m[i + 48u];
        const float q = (m[i] + m[i]) - p;
        const float s = (m[i + 32u] + m[i + 32u]) - r;
        m[i] = p + r;
        m[i + 16u] = q + 2.0f * s;
        m[i + 32u] = p + 4.0f * r;
        m[i + 48u] = q + 8.0f * s;
    }
}

/* One product more: sums [16] + x [channels][6][4] . w [channels][6][4] to `to` [16], one channel after the
 * other. */
static void nn_wino_product(const float *x, const float *w, uint32_t channels, const float *sums, float *to) {
    for (uint32_t i = 0; i < 16u; i++) {
        float sum = sums[i];
        for (uint32_t c = 0; c < channels; c++) {
            sum += x[24u * c + i / 4u] * w[24u * c + i % 4u];
        }
        to[i] = sum;
    }
}

void nn_wino_4x4_f32(const nn_wino_f32 *work) {
    static const float zeros[16];
    const float *x = work->x;
    float *y = work->y;
    for (uint32_t group = 0; group < work->groups; group++) {
        float m[4][16];
        for (uint32_t i = 0; i < 16u; i++) {
            m[0][i] = work->bias[i % 4u];
        }
        nn_wino_product(x, work->w, work->channels, m[0], m[0]);
        nn_wino_product(x + 4, work->w + 4, work->channels, m[0], m[1]);
        nn_wino_product(x + 8, work->w + 8, work->channels, zeros, m[2]);
        nn_wino_product(x + 12, work->w + 12, work->channels, m[2], m[3]);
        nn_wino_combine(m[0]);
        nn_wino_product(x + 16, work->w + 16, work->channels, m[0], m[0]);
        nn_wino_product(x + 20, work->w + 20, work->channels, m[3], m[3]);
        for (uint32_t i = 0; i < 16u; i++) { /* output i % 4 of tile i / 4 */
            for (uint32_t f = 0; f < 4u; f++) {
                y[f] = nn_clamp_f32(m[i % 4u][i / 4u * 4u + f], &work->range);
            }
            y += work->y_step / 4u;
        }
        x += 24u * work->channels;
    }
}
#endif
