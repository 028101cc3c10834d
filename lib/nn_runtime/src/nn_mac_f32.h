/* The inner loops of nn_conv_f32_simd: filters, four at a time, at 6 positions or at one.
 *
 * Products are added one by one in the order of the elements, multiplication and addition rounded. */
#ifndef NN_MAC_F32_H
#define NN_MAC_F32_H

#include <stdint.h>

/* The work of one call, changed by it. The assembly knows the offsets. Steps are in bytes. */
typedef struct {
    uint32_t rows;      /* 0: kernel rows, each of `run` contiguous elements; 6 positions: > 0 */
    uint32_t run;       /* 4: 6 positions: > 0 */
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
} nn_mac_f32;

void nn_mac_6x4_f32(nn_mac_f32 *loop);
void nn_mac_1x4_f32(nn_mac_f32 *loop);

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
