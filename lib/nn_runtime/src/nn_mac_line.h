/* The inner loops of the depthwise kernels: outputs of one filter side by side, four at a time.
 *
 * The elements of a channel lie in lines, two int16_t a word: word i of a line holds elements 2 i and 2 i
 * + 1. */
#ifndef NN_MAC_LINE_H
#define NN_MAC_LINE_H

#include "nn_mac.h"

/* A filter: 8 words in scratch memory, its weights behind them. The assembly knows the offsets. */
typedef struct {
    int32_t bias;          /* 0 */
    int32_t scale;         /* 4: output = clamp(sum >> scale, min, max); a8: the multiplier */
    int32_t offset, right; /* 8: a8: nn_affine_offset and the shift behind it */
    int32_t clamp;         /* 16: NN_CLAMP_... */
    int32_t min, max;      /* 20 */
    uint32_t y_step;       /* 28: bytes from output to output */
} nn_mac_filter;

/* Where the elements of any kernel lie: pieces of its lines, each under `pairs` pairs of taps. */
typedef struct {
    const uint32_t *x;      /* 0: of these outputs; changed by the call */
    const int32_t *offsets; /* 4: bytes from x to each piece; the last one is followed by a negative number */
    uint32_t pairs;         /* 8: 1..8 */
    uint32_t spacing;       /* 12: bytes from output to output, a multiple of 4; not for two outputs a word */
    uint32_t four;          /* 16: bytes from four outputs to the next four */
} nn_mac_pieces;

enum { NN_MOST_PAIRS = 8 };

#endif
