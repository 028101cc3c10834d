/* The inner loop of nn_conv_f32_wino: sums of products of four tiles with four filters. */
#ifndef NN_WINO_F32_H
#define NN_WINO_F32_H

#include <stdint.h>

/* For each of `products` products, x [channels][6][4 tiles], w [channels][6][4 filters], channels > 0:
 *
 *   sums[tile][filter] += x[channel][product][tile] * w[channel][product][filter]      one channel after the other
 *
 * starting from sums [4][4] and going on from product to product; the sums behind each to `to`
 * [products][4][4], which may start at sums. Multiplication and addition round. */
void nn_wino_4x4_f32(const float *x, const float *w, uint32_t channels, uint32_t products, const float *sums,
                     float *to);

#endif
