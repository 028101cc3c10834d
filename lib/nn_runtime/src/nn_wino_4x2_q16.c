#include "nn_simd.h"
#include "nn_wino_q16.h"

#if NN_DSP
/* Registers in the turns as in nn_mac_4x2.inc: r0 x, r1 w, r4-r11 sums of four tiles, r2 r3 weights, r12 lr
 * two tiles. The sums of a product go on into the next one; where they are to go their own way, they wait on
 * the stack:
 *
 *   after product 1   a = b + m1                                     b bias
 *   after product 2   s = b + m1 + m2, and 2 a - s = b + m1 - m2 takes the place of a
 *   after product 0   s + m0: the first outputs
 *   after product 3   2 a - s + m3: the second outputs
 *
 * sp: end of w of this product, sp + 4 start of the first turn, sp + 8 what follows the turns, sp + 12 bytes
 * of w of a product, sp + 16 y, sp + 20 groups left, sp + 24 work, sp + 32 to + 63 sums. */
#define NN_PAIR(before_last)                                                                                 \
    "ldr.w r2, [r1], #4\n"                                                                                   \
    "ldr.w r3, [r1], #4\n"                                                                                   \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    "ldr.w lr, [r0], #4\n"                                                                                   \
    "smlad r4, r12, r2, r4\n"                                                                                \
    "smlad r5, r12, r3, r5\n"                                                                                \
    "ldr.w r12, [r0], #4\n"                                                                                  \
    "smlad r6, lr, r2, r6\n"                                                                                 \
    "smlad r7, lr, r3, r7\n"                                                                                 \
    "ldr.w lr, [r0], #4\n"                                                                                   \
    "smlad r8, r12, r2, r8\n"                                                                                \
    "smlad r9, r12, r3, r9\n" before_last "smlad r10, lr, r2, r10\n"                                         \
    "smlad r11, lr, r3, r11\n"

/* The turns with the weights of the next product, then go to `after`. */
#define NN_PRODUCT(after)                                                                                    \
    "ldr r3, [sp, #12]\n"                                                                                    \
    "ldr r2, [sp, #4]\n"                                                                                     \
    "adr.w r12, " after " + 1\n"                                                                             \
    "add r3, r1\n"                                                                                           \
    "str r3, [sp]\n"                                                                                         \
    "str.w r12, [sp, #8]\n"                                                                                  \
    "bx r2\n"

/* Two sums a, s: 2 a - s. */
#define NN_DIFFERENCE(at, first, second)                                                                     \
    "ldr r2, [sp, #32+" at "]\n"                                                                             \
    "ldr r3, [sp, #36+" at "]\n"                                                                             \
    "rsb r2, " first ", r2, lsl #1\n"                                                                        \
    "rsb r3, " second ", r3, lsl #1\n"                                                                       \
    "str r2, [sp, #32+" at "]\n"                                                                             \
    "str r3, [sp, #36+" at "]\n"

#define NN_SHIFT(first, second) "asr " first ", " first ", r1\nasr " second ", " second ", r12\n"
#define NN_CLAMPS(saturate, bits)                                                                            \
    NN_CLAMP_TWO(saturate, bits, "r4", "r5")                                                                 \
    NN_CLAMP_TWO(saturate, bits, "r6", "r7")                                                                 \
    NN_CLAMP_TWO(saturate, bits, "r8", "r9")                                                                 \
    NN_CLAMP_TWO(saturate, bits, "r10", "r11")
#define NN_CLAMP_TWO(saturate, bits, first, second)                                                          \
    saturate " " first ", #" bits ", " first "\n" saturate " " second ", #" bits ", " second "\n"            \
             "pkhbt " first ", " first ", " second ", lsl #16\n"
#define NN_RANGE(pair)                                                                                       \
    "ssub16 r11, " pair ", r5\n"                                                                             \
    "sel " pair ", " pair ", r5\n"                                                                           \
    "ssub16 r11, r7, " pair "\n"                                                                             \
    "sel " pair ", " pair ", r7\n"

/* clang-format off */
__attribute__((naked)) void nn_wino_4x2_q16(__attribute__((unused)) const nn_wino_q16 *work) {
    __asm__(
        "push.w {r4-r11, lr}\n"
        "sub sp, #68\n"
        "mov r3, r0\n"
        "ldr r2, [r3, #8]\n"
        "ldr r4, [r3, #12]\n"
        "ldr r5, [r3, #44]\n"
        "str r4, [sp, #20]\n"
        "lsl.w r4, r2, #3\n"
        "str r5, [sp, #16]\n"
        "str r4, [sp, #12]\n"
        "str r3, [sp, #24]\n"
        "ldr r0, [r3]\n"
        "rsb.w r2, r2, #0\n"
        "and.w r2, r2, #7\n" /* pairs to leave out of the first turn */
        "movs r4, #56\n"
        "adr.w r12, 1f\n"
        "mla r12, r2, r4, r12\n"
        "orr.w r12, r12, #1\n"
        "str.w r12, [sp, #4]\n"
        "2:\n" /* r0 x, r3 work */
        "ldr r1, [r3, #4]\n"
        "ldrd r4, r5, [r3, #16]\n"
        "mov r6, r4\n"
        "mov r7, r5\n"
        "mov r8, r4\n"
        "mov r9, r5\n"
        "mov r10, r4\n"
        "mov r11, r5\n"
        NN_PRODUCT("3f")
        ".balign 4\n"
        "1:\n"
        NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("") NN_PAIR("")
        NN_PAIR("ldr.w r12, [sp]\n")
        "cmp r1, r12\n"
        "bne.w 1b\n"
        "ldr r2, [sp, #8]\n"
        "add.w r3, sp, #32\n"
        "bx r2\n"
        ".balign 4\n"
        "3:\n"
        "stm.w r3, {r4-r11}\n"
        NN_PRODUCT("4f")
        ".balign 4\n"
        "4:\n"
        NN_DIFFERENCE("0", "r4", "r5")
        NN_DIFFERENCE("8", "r6", "r7")
        NN_DIFFERENCE("16", "r8", "r9")
        NN_DIFFERENCE("24", "r10", "r11")
        NN_PRODUCT("5f")
        ".balign 4\n"
        "5:\n"
        "bl 7f\n"
        "add.w r2, sp, #32\n"
        "ldr r1, [sp]\n"
        "ldm.w r2, {r4-r11}\n"
        NN_PRODUCT("6f")
        ".balign 4\n"
        "6:\n"
        "bl 7f\n"
        "ldr r2, [sp, #16]\n"
        "ldr r4, [sp, #20]\n"
        "ldr r1, [r3, #48]\n"
        "subs r4, #1\n"
        "str r4, [sp, #20]\n"
        "add.w r2, r2, r1, lsl #2\n"
        "add.w r2, r2, r1, lsl #1\n"
        "str r2, [sp, #16]\n"
        "bne.w 2b\n"
        "add sp, #68\n"
        "pop.w {r4-r11, pc}\n" /* Outputs at y and then two further on each; y moves on by one; r3 work. */
        "7:\n"
        "ldr r3, [sp, #24]\n"
        "ldr r1, [r3, #24]\n"
        "ldr.w r12, [r3, #28]\n"
        "ldr r2, [r3, #32]\n"
        NN_SHIFT("r4", "r5") NN_SHIFT("r6", "r7") NN_SHIFT("r8", "r9") NN_SHIFT("r10", "r11")
        "cmp r2, #1\n"
        "bhi.n 8f\n"
        NN_CLAMPS("ssat", "16")
        "cbnz r2, 9f\n"
        "ldr r5, [r3, #36]\n"
        "ldr r7, [r3, #40]\n"
        NN_RANGE("r4") NN_RANGE("r6") NN_RANGE("r8") NN_RANGE("r10")
        "b.n 9f\n"
        "8:\n"
        NN_CLAMPS("usat", "15")
        "9:\n"
        "ldr r2, [sp, #16]\n"
        "ldr r5, [r3, #48]\n"
        "str r4, [r2]\n"
        "adds r1, r2, r5\n"
        "str r1, [sp, #16]\n"
        "str r6, [r2, r5, lsl #1]\n"
        "add.w r2, r2, r5, lsl #2\n"
        "str.w r8, [r2]\n"
        "str.w r10, [r2, r5, lsl #1]\n"
        "bx lr\n");
}
/* clang-format on */
#else
/* A group of sums [4 tiles][2 filters] as outputs. */
static void nn_wino_out(int32_t sums[4][2], const nn_wino_q16 *work, int16_t *y) {
    const int16_t min = (int16_t)work->least;
    const int16_t max = (int16_t)work->most;
    for (uint32_t t = 0; t < 4u; t++) {
        for (uint32_t f = 0; f < 2u; f++) {
            const int32_t sum = sums[t][f] >> work->shifts[f];
            y[f] = (int16_t)(sum < min ? min : sum > max ? max : sum);
        }
        y += work->y_step; /* two outputs: bytes are half as many elements */
    }
}

void nn_wino_4x2_q16(const nn_wino_q16 *work) {
    const uint32_t *x = work->x;
    int16_t *y = work->y;
    for (uint32_t group = 0; group < work->groups; group++) {
        int32_t m[4][4][2];
        const uint32_t *w = work->w;
        for (uint32_t k = 0; k < 4u; k++) {
            memset(m[k], 0, sizeof m[k]);
            for (uint32_t p = 0; p < work->pairs; p++) {
                for (uint32_t i = 0; i < 8u; i++) {
                    m[k][i / 2u][i % 2u] = nn_smlad(x[i / 2u], w[i % 2u], m[k][i / 2u][i % 2u]);
                }
                x += 4;
                w += 2;
            }
        }
        int32_t sums[2][4][2];
        for (uint32_t i = 0; i < 8u; i++) {
            const uint32_t t = i / 2u;
            const uint32_t f = i % 2u;
            const uint32_t first = (uint32_t)work->bias[f] + (uint32_t)m[0][t][f];
            sums[0][t][f] = (int32_t)(first + (uint32_t)m[1][t][f] + (uint32_t)m[2][t][f]);
            sums[1][t][f] = (int32_t)(first - (uint32_t)m[1][t][f] + (uint32_t)m[3][t][f]);
        }
        nn_wino_out(sums[0], work, y);
        nn_wino_out(sums[1], work, y + work->y_step / 2u);
        y += 4u * work->y_step;
    }
}
#endif
