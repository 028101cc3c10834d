/* Inner loops for 16-bit fixed point with sums of 64 bits. */
#include "nn_mac.h"
#include "nn_simd.h"

/* Two elements of one position with those of both filters. */
static inline void nn_two(uint32_t x, const uint32_t *w, int64_t *sum0, int64_t *sum1) {
    *sum0 = nn_smlald(x, w[0], *sum0);
    *sum1 = nn_smlald(x, w[1], *sum1);
}

static int16_t nn_out(int64_t sum, uint32_t filter, const nn_mac_block *block) {
    sum >>= block->shifts >> 16u * filter & 31u;
    return (int16_t)(sum < block->min ? block->min : sum > block->max ? block->max : sum);
}

/* Outputs of the next two filters at one position, whose elements are `step` words apart. */
__attribute__((noinline)) static void nn_exactly(const nn_mac_block *block, const uint32_t *x, uint32_t step,
                                                 int16_t *y) {
    const uint32_t *w = block->w;
    int64_t sum0 = block->bias[0];
    int64_t sum1 = block->bias[1];
    uint32_t n = block->pairs;
    for (; n >= 4u; n -= 4u) { /* GCC does not unroll at -O2 */
        nn_two(x[0], w, &sum0, &sum1);
        nn_two(x[step], w + 2, &sum0, &sum1);
        x += 2u * step;
        nn_two(x[0], w + 4, &sum0, &sum1);
        nn_two(x[step], w + 6, &sum0, &sum1);
        x += 2u * step;
        w += 8;
    }
    for (; n > 0u; n--) {
        nn_two(*x, w, &sum0, &sum1);
        x += step;
        w += 2;
    }
    y[0] = nn_out(sum0, 0u, block);
    y[1] = nn_out(sum1, 1u, block);
}

/* The next two filters at the first `width` positions; the block then is at those behind them. */
static void nn_two_filters(nn_mac_block *block, uint32_t width) {
    for (uint32_t p = width; p-- > 0u;) {
        int16_t *y = block->y[p];
        nn_exactly(block, block->x + p, width, y);
        block->y[p] = y + 2;
    }
    block->w += 2u * block->pairs;
    block->bias += 2;
    block->count--;
}

/* Sums of 32 bits first: few layers have inputs that make them leave these, though their weights could. */
void nn_mac_4x2_q16_wide(nn_mac_block *block) {
    while (block->count > 0u) {
        nn_mac_4x2_q16_checked(block);
        if (block->count > 0u) {
            nn_two_filters(block, 4u);
        }
    }
}

void nn_mac_1x2_q16_wide(nn_mac_block *block) {
    while (block->count > 0u) {
        nn_two_filters(block, 1u);
    }
}
