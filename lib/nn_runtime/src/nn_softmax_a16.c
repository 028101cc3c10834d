/* Softmax of 16-bit affine integers: two tables, interpolated linearly; SPEC.md, section 9. */
#include "nn_requant.h"
#include "nn_softmax_a16_tables.inc"

/* A table's value at x: -32768 is its first one, 32767 just before its last. */
static int32_t nn_look_up(const int16_t *table, int32_t x) {
    const int16_t *const at = table + 256 + (x >> 7);
    return at[0] + (((x & 127) * (at[1] - at[0]) + 64) >> 7);
}

static int32_t nn_clamp_i16(int32_t x) {
    return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

/* e^difference in Q0.15; steps of 10/65535 */
static int32_t nn_exp_q15(int32_t difference, int32_t multiplier, int32_t shift) {
    const int32_t steps = nn_multiply_i32(difference, multiplier, shift);
    return nn_look_up(nn_exp_table, nn_clamp_i16(steps + INT16_MAX));
}

void nn_softmax_a16(const int16_t *x, uint32_t rows, uint32_t row, int32_t multiplier, int32_t shift,
                    int16_t *y) {
    for (; rows > 0u; rows--) {
        int32_t max = INT16_MIN;
        for (uint32_t j = 0; j < row; j++) {
            max = x[j] > max ? x[j] : max;
        }
        uint32_t sum = 0u;
        for (uint32_t j = 0; j < row; j++) {
            sum += (uint32_t)nn_exp_q15(x[j] - max, multiplier, shift);
        }
        uint32_t halvings = 30u;
        for (; sum > 0u && sum < 0x40000000u; sum *= 2u) {
            halvings--;
        }
        /* sum is 1..2 in Q2.30; the table takes 1/(1 + t) for t = 0..1. */
        const int32_t fraction = (int32_t)((sum + 0x2000u) >> 14) - 0x10000 - 0x8000;
        const int32_t factor = nn_look_up(nn_reciprocal_table, nn_clamp_i16(fraction));
        for (uint32_t j = 0; j < row; j++) {
            const uint32_t product = (uint32_t)(nn_exp_q15(x[j] - max, multiplier, shift) * factor);
            y[j] = (int16_t)nn_clamp_i16((int32_t)((product + (1u << (halvings - 1u))) >> halvings));
        }
        x += row;
        y += row;
    }
}
