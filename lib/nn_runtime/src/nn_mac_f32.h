/* The inner loop of nn_conv_f32_simd: 4 filters at 6 positions or at one.
 *
 *   x      first element under the window of the first position
 *   step   bytes from position to position, a multiple of 4
 *   rows   kernel rows; of each, `run` contiguous elements
 *   skip   bytes from the end of a row of x to the next
 *   w      [rows][run][4]
 *   w_skip bytes from the end of a row of w to the next
 *   bias   [4]
 *   y      the sums of a position, [4]; y_step bytes to the next
 *
 * Products are added one by one in the order of the elements, multiplication and addition rounded. */
#ifndef NN_MAC_F32_H
#define NN_MAC_F32_H

#include <stdint.h>

typedef struct {
    uint32_t rows, run, step, skip, w_skip, y_step;
    const float *bias;
} nn_mac_f32;

void nn_mac_6x4_f32(const float *x, const float *w, const nn_mac_f32 *loop, float *y);
void nn_mac_1x4_f32(const float *x, const float *w, const nn_mac_f32 *loop, float *y);

#endif
