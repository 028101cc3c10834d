/* The inner loops of the float convolutions. nn_conv_f32_simd: filters, four at a time, at 6 positions or at
 * one. nn_conv_f32_depthwise: up to 16 channels at one position after the other, and one channel at 5
 * positions of all rows.
 *
 * Products are added one by one in the order of the elements, multiplication and addition rounded. */
#ifndef NN_MAC_F32_H
#define NN_MAC_F32_H

#include <stdint.h>

/* The work of one call, changed by it. The assembly knows the offsets. Steps are in bytes. */
typedef struct {
    uint32_t rows;      /* 0: kernel rows, each of `cols` runs; 6 positions: > 0 */
    uint32_t run;       /* 4: contiguous elements; 6 positions: > 0 */
    uint32_t step;      /* 8: from position to position in x */
    uint32_t skip;      /* 12: from the end of a row to the next in x */
    uint32_t w_skip;    /* 16: and in w, [rows][run][4] of four filters */
    uint32_t y_step;    /* 20: from position to position in y */
    const float *bias;  /* 24 */
    const float *x;     /* 28: first element under the window of the first position */
    const float *w;     /* 32 */
    uint32_t w_filters; /* 36: from four filters to the next four in w */
    uint32_t count;     /* 40: fours of filters, > 0 */
    float *y;           /* 44 */
    uint32_t cols;      /* 48: 6 positions: > 0 */
    uint32_t hop; /* 52: from the end of a run to the next one of its row in x; in w they are contiguous */
} nn_mac_f32;

void nn_mac_6x4_f32(nn_mac_f32 *loop);
void nn_mac_1x4_f32(nn_mac_f32 *loop);

#define NN_MOST_QUADS 4u

/* Channels, four in a quad, at positions whose windows have the same taps inside the input. Changed by the
 * call; steps in bytes. */
typedef struct {
    const float *x;    /* 0: first tap inside the input, first channel */
    const float *w;    /* 4 */
    const float *bias; /* 8 */
    float *y;          /* 12 */
    uint32_t rows;     /* 16: taps inside the input, any of both may be 0 */
    uint32_t cols;     /* 20 */
    uint32_t x_tap;    /* 24: from tap to tap of a kernel row */
    uint32_t w_tap;    /* 28 */
    uint32_t x_skip;   /* 32: from behind a kernel row to the next, modulo 2^32 */
    uint32_t w_skip;   /* 36 */
    uint32_t x_step;   /* 40: from position to position */
    uint32_t y_step;   /* 44 */
    uint32_t count;    /* 48: positions, > 0 */
    uint32_t missing;  /* 52: NN_MOST_QUADS less the quads */
    uint32_t has_max;  /* 56: max is not infinity */
    float min, max;    /* 60 */
} nn_mac_channels;

void nn_mac_channels_f32(nn_mac_channels *work);
void nn_mac_channel_f32(nn_mac_channels *work); /* one channel, whatever the quads */

#define NN_COLUMNS 5u
#define NN_LEFT 1u
#define NN_RIGHT 2u
#define NN_HAS_MAX 4u

/* One channel, 3 x 3 taps side by side, at 5 positions side by side of all rows of the output. Not changed by
 * the call; steps in bytes. */
typedef struct {
    const float *x;    /* 0: first row and column of the windows that are inside the input */
    const float *w;    /* 4 */
    const float *bias; /* 8 */
    float *y;          /* 12 */
    uint32_t x_col;    /* 16 */
    uint32_t y_col;    /* 20 */
    uint32_t x_row;    /* 24 */
    uint32_t y_row;    /* 28 */
    uint32_t w_tap;    /* 32: from tap to tap */
    uint32_t rows;     /* 36: of the windows: those of the output and 2 */
    uint32_t below;    /* 40: those below the input, and 1 */
    uint32_t inside;   /* 44: those inside the input */
    uint32_t outputs;  /* 48: rows of the output */
    uint32_t flags;    /* 52: NN_LEFT, NN_RIGHT: that column of the windows is padding; max is not infinity */
    float min, max;    /* 56 */
} nn_mac_columns;

void nn_mac_columns_f32(const nn_mac_columns *work);

/* Assembly: s = bound if it is less ("mi") or greater ("gt"), NaN stays. */
#define NN_BOUND(s, bound, condition)                                                                        \
    "vcmp.f32 " s ", " bound "\n"                                                                            \
    "vmrs APSR_nzcv, FPSCR\n"                                                                                \
    "it " condition "\n"                                                                                     \
    "vmov" condition ".f32 " s ", " bound "\n"

/* Assembly: one element x, s4 or s5, times the weights of four filters, s0..s3, added to their sums a..d; s6
 * and s7 hold the products, `next` loads the other x. */
#define NN_PRODUCTS(next, x, a, b, c, d)                                                                     \
    next "vmul.f32 s6, " x ", s0\n"                                                                          \
         "vmul.f32 s7, " x ", s1\n"                                                                          \
         "vadd.f32 " a ", " a ", s6\n"                                                                       \
         "vadd.f32 " b ", " b ", s7\n"                                                                       \
         "vmul.f32 s6, " x ", s2\n"                                                                          \
         "vmul.f32 s7, " x ", s3\n"                                                                          \
         "vadd.f32 " c ", " c ", s6\n"                                                                       \
         "vadd.f32 " d ", " d ", s7\n"

#endif
