#include "nn_mac_f32.h"

#if defined(__thumb2__) && defined(__ARM_FP) && defined(__GNUC__) && !defined(__aarch64__)
/* The windows' rows from top to bottom; each adds to three rows of outputs: its last taps to that which is
 * then complete, s20-s24, the middle ones to the next, s15-s19, the first ones to the one after, s10-s14. A
 * sum moves on with the first product that the next row adds. So each input is loaded once for its nine
 * products, in the order of the sums.
 *
 * s0-s8 weights, s9 bias, s25 s26 inputs, s27-s29 products, s31 minimum; r0 work, r1 row of x, r2 x_col, r3
 * and r12 columns of x, r4 row of y, r5 y_col, r6 column of y, r7 rows left, r8 flags, r9 x_row, r10 y_row,
 * r11 below, lr inside. No result is used by the next instruction. The first two rows complete nothing: what
 * they store is overwritten. VMLA rounds twice; integer instructions behind it take no time. */

/* An input times the left taps. */
#define NN_FIRST(x, c, b, a)                                                                                 \
    "vmul.f32 s27, " x ", s6\n"                                                                              \
    "vmul.f32 s28, " x ", s3\n"                                                                              \
    "vmul.f32 s29, " x ", s0\n"                                                                              \
    "vadd.f32 " c ", " b ", s27\n"                                                                           \
    "vadd.f32 " b ", " a ", s28\n"                                                                           \
    "vadd.f32 " a ", s9, s29\n"

/* Times the taps w0 w1 w2, with two integer instructions or none. */
#define NN_TAPS(x, w0, w1, w2, c, b, a)                                                                      \
    "vmul.f32 s27, " x ", " w2 "\n"                                                                          \
    "vmul.f32 s28, " x ", " w1 "\n"                                                                          \
    "vmul.f32 s29, " x ", " w0 "\n"                                                                          \
    "vadd.f32 " c ", " c ", s27\n"                                                                           \
    "vadd.f32 " b ", " b ", s28\n"                                                                           \
    "vadd.f32 " a ", " a ", s29\n"
#define NN_TAPS_AND(x, w0, w1, w2, c, b, a, integers)                                                        \
    "vmul.f32 s27, " x ", " w2 "\n"                                                                          \
    "vmul.f32 s28, " x ", " w1 "\n"                                                                          \
    "vmla.f32 " a ", " x ", " w0 "\n" integers "vadd.f32 " c ", " c ", s27\n"                                \
    "vadd.f32 " b ", " b ", s28\n"
#define NN_MIDDLE(x, c, b, a) NN_TAPS(x, "s1", "s4", "s7", c, b, a)
#define NN_MIDDLE_AND(x, c, b, a, integers) NN_TAPS_AND(x, "s1", "s4", "s7", c, b, a, integers)
#define NN_LAST(x, c, b, a) NN_TAPS(x, "s2", "s5", "s8", c, b, a)

/* The sums of the five outputs of a row. */
#define NN_0 "s20", "s15", "s10"
#define NN_1 "s21", "s16", "s11"
#define NN_2 "s22", "s17", "s12"
#define NN_3 "s23", "s18", "s13"
#define NN_4 "s24", "s19", "s14"
#define NN_APPLY(macro, ...) macro(__VA_ARGS__)

/* Moves on without a product. */
#define NN_ON(c, b, a)                                                                                       \
    "vmov.f32 " c ", " b "\n"                                                                                \
    "vmov.f32 " b ", " a "\n"                                                                                \
    "vmov.f32 " a ", s9\n"

/* The minimum, `move` in the place of an IT that costs a cycle, and the output. */
#define NN_OUT(s, move)                                                                                      \
    "vcmp.f32 " s ", s31\n"                                                                                  \
    "vmrs APSR_nzcv, FPSCR\n" move "it mi\n"                                                                 \
    "vmovmi.f32 " s ", s31\n"                                                                                \
    "vstr " s ", [r6]\n"

#define NN_WEIGHT(s) "vldr " s ", [r3]\nadd.w r3, r3, r12\n"

/* clang-format off */
__attribute__((naked)) void nn_mac_columns_f32(__attribute__((unused)) const nn_mac_columns *work) {
    __asm__(
        "push.w {r4-r11, lr}\n"
        "vpush {s16-s31}\n"
        "ldrd r1, r3, [r0]\n" /* x, w */
        "ldrd r6, r4, [r0, #8]\n" /* bias, y */
        "ldr.w r12, [r0, #32]\n" /* w_tap */
        "vldr s9, [r6]\n"
        NN_WEIGHT("s0") NN_WEIGHT("s1") NN_WEIGHT("s2") NN_WEIGHT("s3") NN_WEIGHT("s4") NN_WEIGHT("s5")
        NN_WEIGHT("s6") NN_WEIGHT("s7")
        "vldr s8, [r3]\n"
        "vldr s31, [r0, #56]\n"
        NN_APPLY(NN_ON, NN_0) NN_APPLY(NN_ON, NN_1) NN_APPLY(NN_ON, NN_2) NN_APPLY(NN_ON, NN_3)
        NN_APPLY(NN_ON, NN_4)
        "ldrd r2, r5, [r0, #16]\n" /* x_col, y_col */
        "ldrd r9, r10, [r0, #24]\n" /* x_row, y_row */
        "ldrd r7, r11, [r0, #36]\n" /* rows, below */
        "ldr.w lr, [r0, #44]\n" /* inside */
        "ldr.w r8, [r0, #52]\n" /* flags */
        ".balign 4\n"
        "0:\n"
        "sub.w r3, r7, r11\n"
        "cmp r3, lr\n"
        "bhs.w 6f\n"
        "mov r3, r1\n"
        "tst.w r8, #1\n"
        "bne.w 5f\n"
        "vldr s25, [r1]\n"
        "add r3, r2\n"
        NN_APPLY(NN_FIRST, "s25", NN_0)
        "1:\n"
        "vldr s26, [r3]\n"
        NN_APPLY(NN_FIRST, "s26", NN_1)
        NN_APPLY(NN_MIDDLE_AND, "s26", NN_0, "add.w r12, r3, r2\nadd.w r3, r12, r2\n")
        "vldr s25, [r12]\n"
        NN_APPLY(NN_FIRST, "s25", NN_2)
        NN_APPLY(NN_MIDDLE, "s25", NN_1)
        NN_APPLY(NN_LAST, "s25", NN_0)
        "vldr s26, [r3]\n"
        NN_APPLY(NN_FIRST, "s26", NN_3)
        NN_APPLY(NN_MIDDLE_AND, "s26", NN_2, "add.w r12, r3, r2\nadd.w r3, r12, r2\n")
        NN_APPLY(NN_LAST, "s26", NN_1)
        "vldr s25, [r12]\n"
        NN_APPLY(NN_FIRST, "s25", NN_4)
        NN_APPLY(NN_MIDDLE_AND, "s25", NN_3, "add.w r1, r1, r9\nadd.w r12, r3, r2\n")
        NN_APPLY(NN_LAST, "s25", NN_2)
        "vldr s26, [r3]\n"
        NN_APPLY(NN_MIDDLE_AND, "s26", NN_4, "ldr.w r3, [r0, #48]\ntst.w r8, #2\n")
        NN_APPLY(NN_LAST, "s26", NN_3)
        "bne.n 2f\n"
        "vldr s25, [r12]\n"
        NN_APPLY(NN_LAST, "s25", NN_4)
        "2:\n"
        "tst.w r8, #4\n"
        "bne.w 7f\n"
        "3:\n"
        NN_OUT("s20", "mov r6, r4\n")
        NN_OUT("s21", "add r6, r5\n")
        NN_OUT("s22", "add r6, r5\n")
        NN_OUT("s23", "add r6, r5\n")
        NN_OUT("s24", "add r6, r5\n")
        "cmp r7, r3\n"
        "it ls\n"
        "addls r4, r10\n"
        "subs r7, #1\n"
        "bne.w 0b\n"
        "vpop {s16-s31}\n"
        "pop.w {r4-r11, pc}\n"
        "5:\n"
        NN_APPLY(NN_ON, NN_0)
        "b.w 1b\n"
        "6:\n"
        NN_APPLY(NN_ON, NN_0) NN_APPLY(NN_ON, NN_1) NN_APPLY(NN_ON, NN_2) NN_APPLY(NN_ON, NN_3)
        NN_APPLY(NN_ON, NN_4)
        "ldr r3, [r0, #48]\n" /* outputs */
        "b.w 2b\n"
        "7:\n"
        "vldr s25, [r0, #60]\n"
        NN_BOUND("s20", "s25", "gt")
        NN_BOUND("s21", "s25", "gt")
        NN_BOUND("s22", "s25", "gt")
        NN_BOUND("s23", "s25", "gt")
        NN_BOUND("s24", "s25", "gt")
        "b.w 3b\n");
}
/* clang-format on */
#else
#include "nn_requant.h"

void nn_mac_columns_f32(const nn_mac_columns *work) {
    const nn_range_f32 range = {work->min, work->max};
    const uint32_t above = work->rows - work->inside - (work->below - 1u);
    const uint32_t left = work->flags & NN_LEFT ? 1u : 0u;
    const uint32_t right = work->flags & NN_RIGHT ? 1u : 0u;
    for (uint32_t o = 0; o < work->outputs; o++) {
        for (uint32_t p = 0; p < NN_COLUMNS; p++) {
            float sum = *work->bias;
            for (uint32_t tap = 0; tap < 9u; tap++) {
                const uint32_t row = o + tap / 3u - above; /* rows above are large numbers */
                const uint32_t col = p + tap % 3u;
                if (row < work->inside && col >= left && col < NN_COLUMNS + 2u - right) {
                    const uint32_t at = row * (work->x_row / 4u) + (col - left) * (work->x_col / 4u);
                    sum += work->x[at] * work->w[tap * (work->w_tap / 4u)];
                }
            }
            work->y[o * (work->y_row / 4u) + p * (work->y_col / 4u)] = nn_clamp_f32(sum, &range);
        }
    }
}
#endif
