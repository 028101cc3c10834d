/* Inner loops of the packed kernels: sums of products of 4 positions with 2 filters.
 *
 *   x       [pairs][4]   a word holds two elements (int16_t) of one position
 *   w q16   [pairs][2]   a word holds the weights of two elements of one filter
 *   w q8    [pairs]      a word holds int8_t: filters 0, 1 of the first element, filters 0, 1 of the second
 *   sums    [4][2]       in: the first two are the biases of the filters; out: the sums, position by position
 *
 * Requires pairs > 0; x and w at multiples of 4 bytes. 14 or 15 cycles a pair (16 products) on a Cortex-M4: all
 * 14 registers are in use, which is why these are assembly. */
#ifndef NN_MAC_H
#define NN_MAC_H

#include <stdint.h>

void nn_mac_4x2_q8(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *sums);
void nn_mac_4x2_q16(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *sums);

/* Two pairs of weights from x [pairs][1]: one position. sums [2] in and out. */
void nn_mac_1x2_q8(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *sums);
void nn_mac_1x2_q16(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *sums);

#endif
