/* Inner loops for 16-bit fixed point with sums of 64 bits. */
#include "nn_mac.h"
#include "nn_simd.h"

static int16_t nn_out(int64_t sum, uint32_t filter, const nn_mac_block *block) {
    sum >>= block->shifts >> 16u * filter & 31u;
    const int32_t low = (int32_t)sum;
    const int32_t near = low == sum ? low : sum < 0 ? INT32_MIN : INT32_MAX;
    return (int16_t)(near < block->min ? block->min : near > block->max ? block->max : near);
}

static void nn_to_next_two(nn_mac_block *block) {
    block->w += 2u * block->pairs;
    block->bias += 2;
    block->count--;
}

/* The next two filters at four positions. */
__attribute__((noinline)) static void nn_four_by_two(nn_mac_block *block) {
    const int64_t bias0 = block->bias[0];
    const int64_t bias1 = block->bias[1];
    for (uint32_t half = 2; half-- > 0u;) {
        int64_t sums[2][2] = {{bias0, bias1}, {bias0, bias1}};
        nn_mac_2x2_sums(block->x + 2u * half, block->w, block->pairs, sums);
        for (uint32_t p = 2; p-- > 0u;) { /* the first position last: nn_mac.h */
            int16_t *y = block->y[2u * half + p];
            y[0] = nn_out(sums[p][0], 0u, block);
            y[1] = nn_out(sums[p][1], 1u, block);
            block->y[2u * half + p] = y + 2;
        }
    }
    nn_to_next_two(block);
}

/* Sums of 32 bits first: few layers have inputs that make them leave these, though their weights could. */
void nn_mac_4x2_q16_wide(nn_mac_block *block) {
    while (block->count > 0u) {
        nn_mac_4x2_q16_checked(block);
        if (block->count > 0u) {
            nn_four_by_two(block);
        }
    }
}

/* Two elements with those of both filters. */
static inline void nn_two(uint32_t x, const uint32_t *w, int64_t *sum0, int64_t *sum1) {
    *sum0 = nn_smlald(x, w[0], *sum0);
    *sum1 = nn_smlald(x, w[1], *sum1);
}

void nn_mac_1x2_q16_wide(nn_mac_block *block) {
    while (block->count > 0u) {
        const uint32_t *x = block->x;
        const uint32_t *w = block->w;
        int64_t sum0 = block->bias[0];
        int64_t sum1 = block->bias[1];
        uint32_t n = block->pairs;
        for (; n >= 4u; n -= 4u) { /* GCC does not unroll at -O2 */
            nn_two(x[0], w, &sum0, &sum1);
            nn_two(x[1], w + 2, &sum0, &sum1);
            nn_two(x[2], w + 4, &sum0, &sum1);
            nn_two(x[3], w + 6, &sum0, &sum1);
            x += 4;
            w += 8;
        }
        for (; n > 0u; n--) {
            nn_two(*x++, w, &sum0, &sum1);
            w += 2;
        }
        int16_t *y = block->y[0];
        y[0] = nn_out(sum0, 0u, block);
        y[1] = nn_out(sum1, 1u, block);
        block->y[0] = y + 2;
        nn_to_next_two(block);
    }
}
