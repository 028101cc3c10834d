#include "tests.h"

/* in_h in_w in_c, out_h out_w out_c, k_h k_w, stride_h stride_w, dilation_h dilation_w, pad_top pad_left,
 * groups x_zero */
const nn_conv_shape conv_shapes[CONV_COUNT] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0},
    {1, 12, 9, 1, 12, 3, 1, 3, 1, 1, 1, 1, 0, 1, 1, -128}, /* one-dimensional, same padding */
    {1, 9, 5, 1, 4, 2, 1, 3, 1, 2, 1, 1, 0, 0, 1, 0},      /* stride, valid */
    {1, 7, 2, 1, 7, 4, 1, 4, 1, 1, 1, 1, 0, 2, 1, 127},    /* asymmetric: 2 left, 1 right */
    {5, 4, 3, 5, 4, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 3},      /* two-dimensional */
    {6, 5, 2, 3, 2, 3, 3, 2, 2, 2, 1, 1, 1, 0, 1, -128},
    {5, 6, 1, 5, 6, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0},  /* one channel */
    {2, 3, 2, 2, 3, 2, 5, 7, 1, 1, 1, 1, 2, 3, 1, -1}, /* kernel larger than the input */
    {1, 11, 3, 1, 7, 2, 1, 3, 1, 1, 1, 2, 0, 0, 1, 0},
    {6, 6, 2, 6, 6, 3, 2, 2, 1, 1, 3, 2, 1, 1, 1, 100}, /* dilation */
    {1, 10, 5, 1, 10, 5, 1, 3, 1, 1, 1, 1, 0, 1, 5, -128},
    {4, 5, 3, 4, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 3, -128},  /* depthwise, multiplier 2 */
    {5, 5, 2, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 5},     /* depthwise, stride and dilation */
    {3, 4, 6, 3, 4, 4, 2, 2, 1, 1, 1, 1, 1, 0, 2, 0},     /* groups */
    {1, 6, 4, 1, 12, 3, 1, 2, 1, 1, 1, 1, 0, 4, 1, -128}, /* outputs that see nothing but padding */
    {2, 2, 16, 2, 2, 3, 1, 1, 1, 1, 1, 1, 0, 0, 1, 7},    /* pointwise */
    {1, 2, 2, 1, 4, 2, 1, 3, 1, 1, 1, 1, 0, 2, 1, 1},     /* one tap of three inside */
    {1, 4, 3, 1, 6, 2, 1, 2, 1, 1, 1, 2, 0, 0, 1, 0},     /* outputs that begin behind the input */
    {1, 15, 3, 1, 15, 9, 1, 3, 1, 1, 1, 1, 0, 1, 1, -9},  /* several blocks of positions and of filters */
    {7, 6, 9, 7, 6, 9, 3, 3, 1, 1, 1, 1, 1, 1, 9, -5},    /* depthwise, some channels left over */
    {9, 8, 6, 4, 4, 6, 3, 3, 2, 2, 1, 1, 0, 1, 6, 3},     /* depthwise, stride 2 */
    {1, 13, 2, 1, 13, 4, 1, 9, 1, 1, 1, 1, 0, 4, 2, 0},   /* depthwise, long kernel */
    {9, 4, 6, 9, 4, 6, 3, 3, 1, 1, 1, 1, 1, 1, 3, 0},     /* groups, more rows than columns */
    {4, 8, 6, 4, 8, 6, 2, 3, 1, 1, 1, 1, 0, 1, 2, 11},    /* groups, more columns than rows */
    {4, 4, 7, 4, 4, 5, 1, 1, 1, 1, 1, 1, 0, 0, 1, -4},    /* pointwise, blocks of positions over rows */
    {4, 10, 3, 4, 10, 4, 2, 2, 1, 1, 3, 2, 0, 1, 1, 0},   /* dilation, several blocks of positions */
};

/* in_h in_w channels, out_h out_w, k_h k_w, stride_h stride_w, pad_top pad_left */
const nn_pool_shape pool_shapes[POOL_COUNT] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {1, 8, 3, 1, 4, 1, 2, 1, 2, 0, 0},
    {1, 9, 5, 1, 9, 1, 3, 1, 1, 0, 1}, {4, 5, 2, 2, 2, 2, 2, 2, 2, 0, 0},
    {5, 4, 3, 3, 4, 3, 3, 2, 1, 1, 1}, {3, 3, 9, 1, 1, 3, 3, 1, 1, 0, 0}, /* global */
    {5, 5, 1, 5, 5, 2, 3, 1, 1, 0, 0}, /* padding at the bottom and right only */
    {2, 3, 2, 2, 3, 5, 7, 1, 1, 2, 3}, /* kernel larger than the input */
    {4, 4, 2, 2, 2, 1, 1, 3, 3, 0, 0}, /* stride larger than the kernel */
    {1, 3, 2, 1, 6, 1, 2, 1, 1, 0, 4}, /* windows that see nothing but padding */
};

const uint8_t add_lefts[4][2] = {{0, 0}, {3, 0}, {0, 5}, {2, 7}};

nn_conv_shape wino_shape(uint32_t number) {
    static const uint8_t cases[WINO_COUNT][6] = {
        /* height, input width, channels, filters, padding before, after */
        {1, 18, 9, 3, 1, 1}, {1, 21, 4, 2, 1, 1}, {2, 7, 5, 2, 0, 0}, {1, 35, 3, 1, 2, 0},
        {1, 1, 2, 2, 1, 1},  {1, 33, 8, 4, 1, 1}, {3, 3, 1, 5, 0, 3}, {1, 18, 10, 2, 1, 1},
    };
    const uint8_t *c = cases[number];
    const nn_conv_shape shape = {.in_h = c[0],
                                 .in_w = c[1],
                                 .in_c = c[2],
                                 .out_h = c[0],
                                 .out_w = (uint16_t)(c[1] + c[4] + c[5] - 2),
                                 .out_c = c[3],
                                 .k_h = 1,
                                 .k_w = 3,
                                 .stride_h = 1,
                                 .stride_w = 1,
                                 .dilation_h = 1,
                                 .dilation_w = 1,
                                 .pad_left = c[4],
                                 .groups = 1};
    return shape;
}
