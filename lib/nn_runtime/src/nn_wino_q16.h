/* The inner loop of nn_conv_q16_wino: the outputs of `groups` times four tiles, two filters. */
#ifndef NN_WINO_Q16_H
#define NN_WINO_Q16_H

#include "nn_mac.h"

/* Products in the order 1, 2, 0, 3 of nn_conv_q16_wino.c. The assembly knows the offsets. */
typedef struct {
    const uint32_t *x; /* 0: [groups][products][pairs][4 tiles], a word holds two channels */
    const uint32_t *w; /* 4: [products][pairs][2 filters] */
    uint32_t pairs;    /* 8: of channels, > 0 */
    uint32_t groups;   /* 12: > 0 */
    int32_t bias[2];   /* 16: of the filters */
    int32_t shifts[2]; /* 24: 0..31 */
    int32_t clamp;     /* 32: as in nn_mac.h */
    uint32_t least;    /* 36: bounds of the outputs, in each half */
    uint32_t most;     /* 40 */
    int16_t *y;        /* 44: first output of the first tile */
    uint32_t y_step;   /* 48: bytes from output to output */
} nn_wino_q16;

void nn_wino_4x2_q16(const nn_wino_q16 *work);

#endif
