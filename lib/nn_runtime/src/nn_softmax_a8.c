/* Softmax of 8-bit affine integers; SPEC.md, section 9, has the formulas. Qm.n: m integer and n fraction
 * bits. */
#include "nn_requant.h"

#define NN_SUM_BITS 12 /* integer bits of the sum of exponentials */

/* e^x in Q0.31 for x <= 0 in Q5.26: the part of x below -1/4 in powers of two, the rest as a series around
 * -1/8. */
static int32_t nn_exp_q26(int32_t x) {
    static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t rest = (x & 0xFFFFFF) - 0x1000000;
    const int32_t quarters = rest - x;
    const int32_t f = rest * 32 + (1 << 28);
    const int32_t f2 = nn_high_mul(f, f);
    const int32_t f3 = nn_high_mul(f2, f);
    const int32_t f4 = nn_high_mul(f2, f2);
    const int32_t series = nn_divide_pot(nn_high_mul(nn_divide_pot(f4, 2) + f3, 715827883) + f2, 1);
    int32_t y = 1895147668 + nn_high_mul(f + series, 1895147668);
    for (int32_t i = 0; i < 7; i++) {
        if (quarters & (1 << (24 + i))) {
            y = nn_high_mul(y, powers[i]); /* e^-(2^(i - 2)) */
        }
    }
    return x == 0 ? INT32_MAX : y;
}

/* 1 / (1 + x) for 0 <= x < 1, both in Q0.31: Newton and Raphson in Q2.29. */
static int32_t nn_reciprocal_q31(uint32_t x) {
    const int32_t half = (int32_t)((x + 0x80000000u) >> 1);
    int32_t y = 1515870810 + nn_high_mul(half, -1010580540);
    for (int32_t i = 0; i < 3; i++) {
        y += nn_shift_left(nn_high_mul(y, (1 << 29) - nn_high_mul(half, y)), 2);
    }
    return nn_shift_left(y, 1);
}

void nn_softmax_a8(const int8_t *x, uint32_t rows, uint32_t row, int32_t multiplier, int32_t left,
                   int32_t smallest, int8_t *y) {
    for (; rows > 0u; rows--) {
        int32_t max = INT8_MIN;
        for (uint32_t j = 0; j < row; j++) {
            max = x[j] > max ? x[j] : max;
        }
        uint32_t sum = 0u;
        for (uint32_t j = 0; j < row; j++) {
            const int32_t difference = x[j] - max;
            if (difference >= smallest) {
                const int32_t power = nn_high_mul(nn_shift_left(difference, left), multiplier);
                sum += (uint32_t)nn_divide_pot(nn_exp_q26(power), NN_SUM_BITS);
            }
        }
        int32_t exponent = NN_SUM_BITS + 31 - 8;
        for (; sum > 0u && sum < 0x80000000u; sum *= 2u) {
            exponent--;
        }
        const int32_t factor = nn_reciprocal_q31(sum - 0x80000000u);
        for (uint32_t j = 0; j < row; j++) {
            const int32_t difference = x[j] - max;
            int32_t out = 0;
            if (difference >= smallest && exponent <= 31) { /* beyond, it is less than half a step */
                const int32_t power = nn_high_mul(nn_shift_left(difference, left), multiplier);
                out = nn_divide_pot(nn_high_mul(nn_exp_q26(power), factor), exponent);
            }
            y[j] = (int8_t)nn_offset(out, -128, -128, 127);
        }
        x += row;
        y += row;
    }
}
