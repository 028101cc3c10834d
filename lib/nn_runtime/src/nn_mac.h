/* Inner loops of the SIMD kernels: sums of products of 4 positions with pairs of filters, and the outputs
 * made of them.
 *
 *   x       [pairs][4]   a word holds two elements (int16_t) of one position
 *   w q16   [pairs][2]   a word holds the weights of two elements of one filter; q8_w16 too
 *   w q8    [pairs]      a word holds int8_t: filters 0, 1 of the first element, filters 0, 1 of the second
 *
 * 14 or 15 cycles a pair (16 products) on a Cortex-M4: all 14 registers are in use, which is why these are
 * assembly. */
#ifndef NN_MAC_H
#define NN_MAC_H

#include "nn_requant.h"

/* How outputs are clamped. */
enum { NN_CLAMP_RANGE = 0, NN_CLAMP_TYPE = 1, NN_CLAMP_TYPE_POSITIVE = 2 };

/* The work of one call, changed by it. The assembly knows the offsets. */
typedef struct {
    const uint32_t *x;   /* 0 */
    const uint32_t *w;   /* 4: the filters' one after the other */
    const int32_t *bias; /* 8 */
    uint32_t pairs;      /* 12: of elements, > 0 */
    uint16_t count;      /* 16: pairs of filters, > 0 */
    int16_t clamp;       /* 18 */
    uint32_t shifts;  /* 20: of the two filters, a half word each, 0..31; a8: twice the zero point, plus 1 */
    int16_t min, max; /* 24: output = clamp(sum >> shift, min, max); a8: see nn_affine_offset */
    void *y[4];       /* 28: outputs of the positions. A position to ignore has the place of the first: it is
                       * written last */
    const int32_t *multipliers;  /* 44: affine: multiplier and shift of each filter from here on */
    const int8_t *filter_shifts; /* 48 */
    uint32_t y_step;             /* 52: nn_mac_groups: bytes from position to position */
} nn_mac_block;

/* What a last filter without another one has instead of tables, and the same for one of zeros. */
typedef struct {
    int32_t bias[2], multipliers[2];
    int8_t shifts[2];
} nn_mac_last;

void nn_mac_4x2_q8(nn_mac_block *block);
void nn_mac_4x2_q16(nn_mac_block *block);
void nn_mac_4x2_a8(nn_mac_block *block);
void nn_mac_4x2_a16(nn_mac_block *block); /* w as for q8 */

/* The same for `count` groups of 4 positions, x [count][pairs][4], and two filters. The outputs begin at
 * y[0]; w and bias stay, x and y[0] go on. */
void nn_mac_groups_q16(nn_mac_block *block);
void nn_mac_groups_q8_w16(nn_mac_block *block);

/* The same for one position: x [pairs], y[0] only. */
void nn_mac_1x2_q8(nn_mac_block *block);
void nn_mac_1x2_q16(nn_mac_block *block);
void nn_mac_1x2_q8_w16(nn_mac_block *block);
void nn_mac_1x2_a8(nn_mac_block *block);
void nn_mac_1x2_a16(nn_mac_block *block);

/* nn_mac_4x2_q16 that stops where, on the way or at its end, the sum of a position and filter leaves 32 bits:
 * that pair of filters and those behind it remain in `count`, and the block is at them. */
void nn_mac_4x2_q16_checked(nn_mac_block *block);

/* nn_mac_4x2_q16 and nn_mac_1x2_q16 with sums of 64 bits; biases have 32. */
void nn_mac_4x2_q16_wide(nn_mac_block *block);
void nn_mac_1x2_q16_wide(nn_mac_block *block);

/* Adds to sums [position][filter] the products of `pairs` > 0 pairs: two positions of four, x [pairs][4],
 * with the two filters of w [pairs][2]. */
void nn_mac_2x2_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int64_t sums[2][2]);

/* The output of filter 0 or 1, with the range of any clamp. */
static inline int32_t nn_mac_out(int32_t sum, uint32_t filter, const nn_mac_block *block) {
    sum >>= block->shifts >> 16u * filter & 31u;
    return sum < block->min ? block->min : sum > block->max ? block->max : sum;
}

/* The same for a8; `filter` counts on after the first two. */
static inline int32_t nn_mac_out_affine(int32_t sum, uint32_t filter, const nn_mac_block *block) {
    const int32_t shift = block->filter_shifts[filter];
    sum = nn_multiply_i32(sum, block->multipliers[filter], shift) + ((int32_t)block->shifts >> 1);
    return sum < block->min ? block->min : sum > block->max ? block->max : sum;
}

/* The same for a16, shifts -17..-1 and zero point 0. */
static inline int32_t nn_mac_out_affine_16(int32_t sum, uint32_t filter, const nn_mac_block *block) {
    sum = (int32_t)nn_multiply_i64(sum, block->multipliers[filter], block->filter_shifts[filter]);
    return sum < block->min ? block->min : sum > block->max ? block->max : sum;
}

#endif
