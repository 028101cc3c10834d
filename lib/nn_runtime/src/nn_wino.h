/* The inner loop of the Winograd convolutions: for each of six products k
 *
 *   m[k][tile][filter] = sum over pairs of x[pair][k][tile] . w[pair][k][filter]        4 tiles, 2 filters
 *
 * Words of x and w hold two int16_t. pairs > 0. Sums wrap at 32 bits. */
#ifndef NN_WINO_H
#define NN_WINO_H

#include <stdint.h>

void nn_wino_sums(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *m);

#endif
