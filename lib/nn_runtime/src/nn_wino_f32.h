/* The inner loop of nn_conv_f32_wino: the outputs of `groups` times four tiles, four filters. */
#ifndef NN_WINO_F32_H
#define NN_WINO_F32_H

#include "nn_runtime.h"

/* Products in the order 1, 2, 3, 4, 0, 5 of nn_conv_f32_wino.c. The assembly knows the offsets. */
typedef struct {
    const float *x;     /* 0: [groups][channels][products][4 tiles] */
    const float *w;     /* 4: [channels][products][4 filters] */
    uint32_t channels;  /* 8: > 0 */
    uint32_t groups;    /* 12: > 0 */
    float bias[4];      /* 16: of the filters */
    nn_range_f32 range; /* 32 */
    uint32_t clamp;     /* 40: 0 the range is everything, 1 only its minimum bounds, 2 both */
    float *y;           /* 44: first output of the first tile */
    uint32_t y_step;    /* 48: bytes from output to output */
} nn_wino_f32;

void nn_wino_4x4_f32(const nn_wino_f32 *work);

#endif
