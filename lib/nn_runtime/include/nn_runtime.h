/* nn_runtime: the layers of a neural network as plain C functions for small microcontrollers.
 *
 * Words used below:
 *
 *   H W C   height, width, channels of the input x
 *   F       filters: channels of the output y
 *   KH KW   kernel size
 *   G       groups
 *   q8 q16  fixed point in int8_t, int16_t: real = q * 2^-frac; narrower formats (say 9 bits in int16_t)
 *           use the same kernels with tighter clamp bounds
 *   a8 a16  affine integers: real = scale * (q - zero point)
 *   f32     float; sums run in the written order, multiply then add: same bits on host and target
 *   _w8     int8_t weights with int16_t x and y
 *   _packed weights of any width, packed in flash; x and y as usual
 *   _wide   same storage, 64-bit accumulator and bias
 *
 * Channels are last everywhere; one-dimensional data (T time steps) have H = 1 and W = T.
 *
 * Rules for all kernels:
 *
 *   - The caller allocates every array, aligned for its element type, scratch memory included. No
 *     kernel keeps state between calls, allocates or recurses.
 *   - y must not overlap an input unless the kernel says "in place" (y may be exactly that input) or that y
 *     may overlap x.
 *   - Dimensions are 1..65535; `count`, `rows`, `row`, `in` and `out` are 0..2^32-1 as memory allows.
 *   - Accumulators must not overflow. The caller has proved sum|w| * max(|x|, |x_zero|) + |bias| <= 2^31 - 1
 *     (wide: 2^63 - 1) for every output channel; where no x is negative, of the w of one sign. Beyond
 *     that any value is allowed: nn_requant.h rounds and clamps.
 *
 * SPEC.md defines the numbers; nn_kernels.def lists every kernel.
 */
#ifndef NN_RUNTIME_H
#define NN_RUNTIME_H

#include <stdint.h>

/* Raised whenever a declaration here changes meaning; generated models refuse another value. */
#define NN_RUNTIME_API 2

#ifdef __cplusplus
#define NN_RESTRICT __restrict
extern "C" {
#else
#define NN_RESTRICT restrict
#endif

/* How a value between two integers becomes one of them; see SPEC.md, section 2. */
typedef enum {
    NN_ROUND_FLOOR = 0,   /* toward minus infinity: an arithmetic right shift */
    NN_ROUND_NEAREST = 1, /* floor(v + 1/2): halves go up */
    NN_ROUND_TRUNC = 2    /* toward zero, as C converts float to int */
} nn_rounding;

/* From accumulator to output: y = clamp(round(acc * 2^-shift), min, max). */
typedef struct {
    int8_t shift; /* -31..31, with a 64-bit accumulator -31..62; negative is a multiplication by 2^-shift */
    uint8_t rounding;     /* an nn_rounding */
    int32_t min, max;     /* min <= max, both inside the output type; a fused ReLU is zero's stored value */
    const int8_t *shifts; /* convolution and dense: one shift a filter [F] instead of `shift`, or NULL */
} nn_requant;

/* Output of float kernels: y = acc < min ? min : acc > max ? max : acc. NaN stays NaN.
 * -INFINITY..INFINITY is no clamp; a fused ReLU is min = 0. */
typedef struct {
    float min, max;
} nn_range_f32;

/* x [in_h][in_w][in_c] -> y [out_h][out_w][out_c]. Tap (kh, kw) of output (oh, ow) is the input element at
 *
 *   row     oh * stride_h - pad_top  + kh * dilation_h
 *   column  ow * stride_w - pad_left + kw * dilation_w
 *
 * and x_zero outside the input; padding at the bottom and right is what out_h and out_w imply.
 * Requires: groups divides in_c and out_c; out_h * stride_h and out_w * stride_w below 2^31. */
typedef struct {
    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;
    uint16_t k_h, k_w;
    uint16_t stride_h, stride_w;
    uint16_t dilation_h, dilation_w;
    uint16_t pad_top, pad_left;
    uint16_t groups;
    int16_t x_zero; /* stored value of x that means 0; f32: not looked at */
} nn_conv_shape;

/* x [in_h][in_w][channels] -> y [out_h][out_w][channels]; windows as in nn_conv_shape with dilation 1. */
typedef struct {
    uint16_t in_h, in_w, channels;
    uint16_t out_h, out_w;
    uint16_t k_h, k_w;
    uint16_t stride_h, stride_w;
    uint16_t pad_top, pad_left;
} nn_pool_shape;

/* A part of a memory area, in bytes. */
typedef struct {
    uint32_t offset, bytes;
} nn_span;

/* Called by a generated model after each layer with that layer's output. */
typedef void (*nn_observer_t)(void *context, uint32_t layer, const void *output, uint32_t bytes);

/* ---- Convolution ----
 *
 *   y[oh][ow][f] = out(bias[f] + sum over kh, kw, c of x[row][column][f / (F/G) * C/G + c] * w[f][kh][kw][c])
 *
 *   x     [H][W][C]
 *   w     [F][KH][KW][C/G]
 *   bias  [F], at the accumulator's scale (frac_x + frac_w); never NULL
 *   y     [out_h][out_w][F]
 *
 * out() is the requantization or the float clamp. groups = C with F = m * C is a depthwise convolution of
 * multiplier m. Fastest with groups = 1 and dilation_w = 1.
 *
 * Where zero is stored as x_zero, x means x - x_zero: the caller subtracts x_zero * (sum over kh, kw, c of
 * w[f]) from bias[f]. */
void nn_conv_q8(const int8_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                const nn_conv_shape *shape, const nn_requant *requant, int8_t *NN_RESTRICT y);
void nn_conv_q8_wide(const int8_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w,
                     const int64_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                     int8_t *NN_RESTRICT y);
void nn_conv_q16(const int16_t *NN_RESTRICT x, const int16_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                 const nn_conv_shape *shape, const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_conv_q16_wide(const int16_t *NN_RESTRICT x, const int16_t *NN_RESTRICT w,
                      const int64_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                      int16_t *NN_RESTRICT y);
void nn_conv_q16_w8(const int16_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w,
                    const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                    int16_t *NN_RESTRICT y);
void nn_conv_q16_w8_wide(const int16_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w,
                         const int64_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                         const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_conv_f32(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                 const nn_conv_shape *shape, const nn_range_f32 *range, float *NN_RESTRICT y);

/* ---- Convolution by SIMD ----
 *
 * The numbers of nn_conv_T, faster on cores with the DSP instructions of ARMv7E-M (f32: with an FPU); plain C
 * elsewhere. A dense layer is a convolution of one position. K = KH * KW * C/G elements under the window, in
 * the order kh, kw, c; F stands for F/G, weights beyond K or F are zero; the groups' tables follow each
 * other.
 *
 * Requires of q8, q16: rounding FLOOR (a half added to the bias makes it NEAREST), shifts 0..31.
 *
 *   w q8   [F/2][K/4][2], rounded up: (F+1)/2, (K+3)/4. The bytes of a word, first to last: weight k of
 *          filter f, of f+1, weight k+2 of f, of f+1; in the second word k+1 and k+3.
 *   w q16  [F/2][K/2][2], rounded up: weights k (low half) and k+1 of filter f; in the second word of f+1.
 *   w f32  [F/4][K][4], rounded up: weight k of four filters.
 *
 * q16_wide: arguments as for q16, biases of 32 bits too; only the sums have 64. Four positions and two
 * filters are first computed in 32 bits, watching for a sum that leaves them, and once more in 64 if there is
 * one: the time depends on the data, the numbers do not. A single position: in 64.
 *
 *   scratch  width * P + (K * sizeof(T) + 3) / 4 words; P = K/4 * 2 (q8) or K/2 (q16), rounded up; width = 4,
 *            for an output of one position 1
 */
void nn_conv_q8_simd(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                     const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                     uint32_t *NN_RESTRICT scratch, int8_t *NN_RESTRICT y);
void nn_conv_q16_simd(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                      const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                      uint32_t *NN_RESTRICT scratch, int16_t *NN_RESTRICT y);
void nn_conv_q16_wide_simd(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                           const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                           const nn_requant *requant, uint32_t *NN_RESTRICT scratch, int16_t *NN_RESTRICT y);
void nn_conv_f32_simd(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_range_f32 *range, float *NN_RESTRICT y);

/* ---- Depthwise convolution by SIMD ----
 *
 * The numbers of nn_conv_T with groups = C: filters f * F/C .. of channel f. Requires groups = C, rounding
 * and shifts as above. The weights of an integer filter lie in lines: with down = 0 a line is a kernel row, K
 * = KW taps, with down = 1 a kernel column, K = KH. Lines are best along the longer side of the output.
 * q16_wide: as for q16; what is computed once more is a row of outputs of a filter.
 *
 *   w q8   [F][lines][K/2 + 1], rounded down. The bytes of word j, first to last: taps 2 j, 2 j - 1,
 *          2 j + 1, 2 j; those outside of the line are 0
 *   w q16  [F][lines][K/2 + 1][2]: taps 2 j (low half) and 2 j + 1; in the second word 2 j - 1 and 2 j
 *   w f32  [KH][KW][F]
 *
 *   scratch  lanes * (8 + max(10, 2 * lines * P) + columns * slots) + lines * p + 1 words
 *
 *            lanes = 4 (q8) or 2 (q16); p = (K/2 + 1) / 8 rounded up; P = K/2 + 1 rounded up to a multiple
 *            of p; slots = (lines - 1) * D + 1, D the dilation across the lines. Along them n outputs (at
 *            most 64) rounded up to four, stride S, dilation L: columns = n/2 - 1 + P for S = L = 1, else
 *            (n - 1) * s + P with s = S/2 for L = 1 and even S, s = P for others
 */
void nn_conv_q8_depthwise(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                          const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                          const nn_requant *requant, uint32_t down, uint32_t *NN_RESTRICT scratch,
                          int8_t *NN_RESTRICT y);
void nn_conv_q16_depthwise(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                           const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                           const nn_requant *requant, uint32_t down, uint32_t *NN_RESTRICT scratch,
                           int16_t *NN_RESTRICT y);
void nn_conv_q16_wide_depthwise(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                                const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                                const nn_requant *requant, uint32_t down, uint32_t *NN_RESTRICT scratch,
                                int16_t *NN_RESTRICT y);
void nn_conv_f32_depthwise(const float *NN_RESTRICT x, const float *NN_RESTRICT w,
                           const float *NN_RESTRICT bias, const nn_conv_shape *shape,
                           const nn_range_f32 *range, float *NN_RESTRICT y);

/* ---- Convolution of width 3 and of 3 x 3 by Winograd's algorithm ----
 *
 * The numbers of nn_conv_q8 with about half of the multiplications. Requires k_h = stride_h = 1, pad_top = 0,
 * k_w = 3, stride_w = dilation_w = 1, groups of the shape 1, rounding and shifts as above, and for every
 * filter 24 * sum|w| * max|x| < 2^31 and sum|w| * max|x| + |bias| < 2^30.
 *
 *   w        [F/2][C/4][2][3] words, rounded up. The bytes of a word: tap k of filter f, of f+1, for
 *            channel c, then for c+2; in the second half of a group c+1 and c+3.
 *   groups   of 16 positions that are computed at a time
 *   scratch  (48 * groups + 24) * ((C+3)/4) + 48 * groups words
 *
 * These kernels read all that a block needs before they write its outputs: where the shape is one row of at
 * most 16 * groups outputs, y may overlap x anywhere.
 */
void nn_conv_q8_wino(const int8_t *x, const uint32_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                     const nn_conv_shape *shape, const nn_requant *requant, uint32_t groups,
                     uint32_t *NN_RESTRICT scratch, int8_t *y);

/* The same for 3 x 3 with a quarter of the multiplications; y must not overlap x. Requires k_h = k_w = 3,
 * strides and dilations 1, groups of the shape 1, rounding and shifts as above, and for every filter sum|w| *
 * max|x| + |bias| < 2^30 and, of the weights a, b, c of each row of the kernel and channel,
 *
 *   24 * max|x| * (sum of p * |v|) < 2^31   for (p, v) = (10, a), (10, a+b+c), (10, a-b+c), (6, a+2b+4c),
 *                                           (6, a-2b+4c) and (10, c)
 *
 *   w        [F/2][C/4][2][3][3] words, rounded up; the bytes of a word as above
 *   groups   of 64 positions (4 tiles of 4 x 4) that are computed at a time
 *   scratch  (288 * groups + 144) * ((C+3)/4) + 288 * groups words
 */
void nn_conv_q8_wino_3x3(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                         const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                         const nn_requant *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                         int8_t *NN_RESTRICT y);

/* nn_conv_q8_wino for int16_t in two thirds of the multiplications, for x that is never negative, and any
 * k_h, stride_h, dilation_h and pad_top. Also requires shifts of at most 30, 2 * |sum + bias| < 2^31 and, for
 * every filter, row of the kernel and channel with the weights a, b, c, that 2 a, a + b + c, a - b + c and
 * 2 c fit int16_t.
 *
 *   w        [F][KH][C/2][3] words, F rounded up to even, C/2 up: tap k of channels c (low half) and c+1
 *   bias     twice the bias + 2^15 * (sum of all weights of the filter), modulo 2^32
 *   groups   of 16 positions that are computed at a time
 *   scratch  ((32 * groups + 8) * KH + 4) * ((C+1)/2) words
 */
void nn_conv_q16_wino(const int16_t *x, const uint32_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_requant *requant, uint32_t groups,
                      uint32_t *NN_RESTRICT scratch, int16_t *y);

/* Almost the numbers of nn_conv_f32 with half of the multiplications: within a bound that SPEC.md states, the
 * same bits on every computer. An infinity or NaN reaches the outputs of the whole tile of four. Same
 * requirements on the shape as for int16_t.
 *
 *   w        [F/4][KH][C][3][4], F/4 rounded up: weights of a channel and tap of four filters
 *   groups   of 16 positions that are computed at a time
 *   scratch  24 * KH * C * (groups + 1) floats
 */
void nn_conv_f32_wino(const float *x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                      const nn_conv_shape *shape, const nn_range_f32 *range, uint32_t groups,
                      float *NN_RESTRICT scratch, float *y);

/* ---- Dense ----
 *
 *   y[f] = out(bias[f] + sum over c of x[c] * w[f][c])
 *
 * x [in], w [out][in], bias [out] as for the convolution, y [out]. */
void nn_dense_q8(const int8_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                 uint32_t in, uint32_t out, const nn_requant *requant, int8_t *NN_RESTRICT y);
void nn_dense_q8_wide(const int8_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w,
                      const int64_t *NN_RESTRICT bias, uint32_t in, uint32_t out, const nn_requant *requant,
                      int8_t *NN_RESTRICT y);
void nn_dense_q16(const int16_t *NN_RESTRICT x, const int16_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                  uint32_t in, uint32_t out, const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_dense_q16_wide(const int16_t *NN_RESTRICT x, const int16_t *NN_RESTRICT w,
                       const int64_t *NN_RESTRICT bias, uint32_t in, uint32_t out, const nn_requant *requant,
                       int16_t *NN_RESTRICT y);
void nn_dense_q16_w8(const int16_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w,
                     const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out, const nn_requant *requant,
                     int16_t *NN_RESTRICT y);
void nn_dense_q16_w8_wide(const int16_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w,
                          const int64_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                          const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_dense_f32(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                  uint32_t in, uint32_t out, const nn_range_f32 *range, float *NN_RESTRICT y);

/* ---- Convolution and dense with packed weights ----
 *
 * The same sums. Each weight takes w_bits bits, 2..16, in flash: two's complement, least significant bit
 * first, one after the other in the order of w above; each filter begins with a new byte.
 *
 * The convolution unpacks a weight once for up to 8 positions side by side: slow with groups or dilation_w
 * above 1 and with few positions. */
void nn_conv_q8_packed(const int8_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                       const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape, const nn_requant *requant,
                       int8_t *NN_RESTRICT y);
void nn_conv_q8_packed_wide(const int8_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                            const int64_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                            const nn_requant *requant, int8_t *NN_RESTRICT y);
void nn_conv_q16_packed(const int16_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                        const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                        const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_conv_q16_packed_wide(const int16_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                             const int64_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                             const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_dense_q8_packed(const int8_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                        const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out, const nn_requant *requant,
                        int8_t *NN_RESTRICT y);
void nn_dense_q8_packed_wide(const int8_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                             const int64_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                             const nn_requant *requant, int8_t *NN_RESTRICT y);
void nn_dense_q16_packed(const int16_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                         const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                         const nn_requant *requant, int16_t *NN_RESTRICT y);
void nn_dense_q16_packed_wide(const int16_t *NN_RESTRICT x, const uint8_t *NN_RESTRICT w, uint32_t w_bits,
                              const int64_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                              const nn_requant *requant, int16_t *NN_RESTRICT y);

/* The convolution with packed weights by SIMD and by Winograd's algorithm: the numbers of nn_conv_T_packed
 * for weights of w_bits bits, 2..16. Groups of the shape 1; else requirements as for nn_conv_T_simd and
 * nn_conv_T_wino, for the weights that w holds. A dense layer is a convolution of one position.
 * nn_conv_q16_packed_wino4 is the algorithm of nn_conv_q8_wino for x of few bits and any sign: 10 * max(|x|,
 * |x_zero|) <= 32767. It and nn_conv_q8_packed_wino require besides that of the weights a, b, c of every
 * filter and channel a + b + c, a - b + c, a + 4 c + 2 b and a + 4 c - 2 b fit int16_t.
 *
 *   w        words of two halves, low half first, of each w_bits bits: the weight plus 2^(w_bits - 1). Bit
 *            after bit, the lowest first; every two filters begin with a new word; one word more follows.
 *            Whatever is a group of four or a pair below is rounded up with zeros.
 *
 *     simd, q16    those of nn_conv_q16_simd
 *     simd, q8     [F/2][K/4][2][2]: weights k and k+2 of filter f, the same of f+1; k+1 and k+3 of f, of f+1
 *     wino, q16    those of nn_conv_q16_wino
 *     wino, q8     [F/2][C/4][2][2][3]: tap k of channels c and c+2 of filter f, of f+1; then of c+1 and c+3
 *     wino4        [F/2][C/4][2][2][3]: tap k of channels c and c+1 of filter f, of f+1; then of c+2 and c+3
 *
 *   bias     wino, q16: as for nn_conv_q16_wino
 *   groups   of 16 positions that are computed at a time
 *   scratch  simd: (16 * groups + 2) * P + (K * sizeof(T) + 3) / 4 words, an output of one position 3 * P
 *            in front; P = K/4 * 2 (q8) or K/2 (q16), rounded up
 *            wino, q16: (32 * groups + 14) * ((C+1)/2) words
 *            wino, q8, and wino4: those of nn_conv_q8_wino
 *
 * wino, wino4: y may overlap x as for nn_conv_q8_wino.
 */
void nn_conv_q8_packed_simd(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w, uint32_t w_bits,
                            const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                            const nn_requant *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                            int8_t *NN_RESTRICT y);
void nn_conv_q16_packed_simd(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w, uint32_t w_bits,
                             const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                             const nn_requant *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                             int16_t *NN_RESTRICT y);
void nn_conv_q8_packed_wino(const int8_t *x, const uint32_t *NN_RESTRICT w, uint32_t w_bits,
                            const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                            const nn_requant *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                            int8_t *y);
void nn_conv_q16_packed_wino(const int16_t *x, const uint32_t *NN_RESTRICT w, uint32_t w_bits,
                             const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                             const nn_requant *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                             int16_t *y);
void nn_conv_q16_packed_wino4(const int16_t *x, const uint32_t *NN_RESTRICT w, uint32_t w_bits,
                              const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                              const nn_requant *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                              int16_t *y);

/* ---- Maximum pooling ----
 *
 *   y[oh][ow][c] = clamp(max of the window's elements that lie inside the input, min, max)
 *
 * Padding never wins; x and y have the same format; min = 0 is a fused ReLU. A window wholly outside the
 * input gives min. f32: NaN never wins.
 * In place when pad_top = pad_left = 0 and out_w <= in_w. */
void nn_pool_max_q8(const int8_t *x, const nn_pool_shape *shape, int8_t min, int8_t max, int8_t *y);
void nn_pool_max_q16(const int16_t *x, const nn_pool_shape *shape, int16_t min, int16_t max, int16_t *y);
void nn_pool_max_f32(const float *x, const nn_pool_shape *shape, float min, float max, float *y);

/* ---- Average pooling ----
 *
 *   y[oh][ow][c] = clamp(round(sum * 2^-shift / count), min, max)
 *
 * over the `count` elements of the window that lie inside the input: one rounding of the exact quotient.
 * f32: clamp(sum / count), the sum from 0.0f in the order kh, kw. A window wholly outside the input gives
 * clamp(0). Requires shift -31..31 and at most 2^24 (q8) or 65536 (q16) elements in a window.
 * In place when pad_top = pad_left = 0 and out_w <= in_w. */
void nn_pool_avg_q8(const int8_t *x, const nn_pool_shape *shape, const nn_requant *requant, int8_t *y);
void nn_pool_avg_q16(const int16_t *x, const nn_pool_shape *shape, const nn_requant *requant, int16_t *y);
void nn_pool_avg_f32(const float *x, const nn_pool_shape *shape, const nn_range_f32 *range, float *y);

/* ---- Addition ----
 *
 *   y[i] = out(a[i] * 2^left_a + b[i] * 2^left_b), i < count
 *
 * The left shifts, 0..30 (wide 0..46), bring both inputs to one scale. Requires that the sum of the largest
 * magnitudes fits the accumulator (int32_t; wide int64_t). f32: out(a[i] + b[i]). In place on a or on b. */
void nn_add_q8(const int8_t *a, const int8_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
               const nn_requant *requant, int8_t *y);
void nn_add_q16(const int16_t *a, const int16_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
                const nn_requant *requant, int16_t *y);
void nn_add_q16_wide(const int16_t *a, const int16_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
                     const nn_requant *requant, int16_t *y);
void nn_add_f32(const float *a, const float *b, uint32_t count, const nn_range_f32 *range, float *y);

/* ---- Copy ----
 *
 *   y[r * y_stride + j] = out(x[r * row + j]), r < rows, j < row <= y_stride
 *
 * A standalone ReLU or a change of format (rows = 1), one part of a concatenation (y_stride = the channels
 * of all parts) or the inside of explicit padding. Elements of y between the rows are left alone.
 * In place when y_stride = row. */
void nn_copy_q8(const int8_t *x, uint32_t rows, uint32_t row, uint32_t y_stride, const nn_requant *requant,
                int8_t *y);
void nn_copy_q16(const int16_t *x, uint32_t rows, uint32_t row, uint32_t y_stride, const nn_requant *requant,
                 int16_t *y);
void nn_copy_f32(const float *x, uint32_t rows, uint32_t row, uint32_t y_stride, const nn_range_f32 *range,
                 float *y);

/* ---- Fill ----
 *
 *   y[i] = value, i < count */
void nn_fill_q8(int8_t value, uint32_t count, int8_t *y);
void nn_fill_q16(int16_t value, uint32_t count, int16_t *y);
void nn_fill_f32(float value, uint32_t count, float *y);

/* ---- Softmax ----
 *
 *   y[r][j] = e^x[r][j] / sum over i of e^x[r][i]
 *
 * for each of `rows` rows of `row` elements. In place.
 *
 * q8, q16: integers only, any frac_in, frac_out <= 31; y is in 0 .. 2^frac_out - 1, at most 127 or 32767: 1.0
 * saturates. Within 1 of the real number; SPEC.md has the formulas and the bound. f32: finite x. */
void nn_softmax_q8(const int8_t *x, uint32_t rows, uint32_t row, int8_t frac_in, int8_t frac_out, int8_t *y);
void nn_softmax_q16(const int16_t *x, uint32_t rows, uint32_t row, int8_t frac_in, int8_t frac_out,
                    int16_t *y);
void nn_softmax_f32(const float *x, uint32_t rows, uint32_t row, float *y);

/* ---- Affine integers ----
 *
 * The quantization specification of TensorFlow Lite, bit for bit with its reference kernels:
 * real = scale * (q - zero point). a8: x, y and w int8_t, bias int32_t. a16: x and y int16_t with zero point
 * 0, w int8_t, bias and accumulator int64_t. Weights have zero point 0 and a scale for each filter. A
 * multiplier is a real number m as multiplier * 2^(shift - 31), multiplier 0 or 2^29..2^31 - 1 (m usually
 * below 1, shift -31..30). Maximum pooling, copy and fill of the same integers are those of q8 and q16. */

/* From accumulator to output: y = clamp(zero_point + acc * m[f], min, max). */
typedef struct {
    const int32_t *multipliers; /* [F]; [1] where the kernel says so */
    const int8_t *shifts;       /* as many; in nn_conv_a16 and nn_dense_a16 -31..7 */
    int32_t zero_point;
    int32_t min, max;
} nn_requant_affine;

/* Convolution and dense as above; x_zero is the zero point of x. Requires |acc| < 2^31, a16: 2^47. */
void nn_conv_a8(const int8_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                const nn_conv_shape *shape, const nn_requant_affine *requant, int8_t *NN_RESTRICT y);
void nn_conv_a16(const int16_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w, const int64_t *NN_RESTRICT bias,
                 const nn_conv_shape *shape, const nn_requant_affine *requant, int16_t *NN_RESTRICT y);
void nn_dense_a8(const int8_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                 uint32_t in, uint32_t out, const nn_requant_affine *requant, int8_t *NN_RESTRICT y);
void nn_dense_a16(const int16_t *NN_RESTRICT x, const int8_t *NN_RESTRICT w, const int64_t *NN_RESTRICT bias,
                  uint32_t in, uint32_t out, const nn_requant_affine *requant, int16_t *NN_RESTRICT y);

/* The same by SIMD; w as for nn_conv_q8_simd. */
void nn_dense_a8_simd(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                      const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                      const nn_requant_affine *requant, int8_t *NN_RESTRICT y);

/* Convolution by SIMD, depthwise too, and by Winograd's algorithm: requirements, w and scratch as for q8, any
 * x_zero; every shift in -22..-1 and |acc| < 2^30. */
void nn_conv_a8_simd(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                     const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                     const nn_requant_affine *requant, uint32_t *NN_RESTRICT scratch, int8_t *NN_RESTRICT y);
void nn_conv_a8_depthwise(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                          const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                          const nn_requant_affine *requant, uint32_t down, uint32_t *NN_RESTRICT scratch,
                          int8_t *NN_RESTRICT y);
void nn_conv_a8_wino(const int8_t *x, const uint32_t *NN_RESTRICT w, const int32_t *NN_RESTRICT bias,
                     const nn_conv_shape *shape, const nn_requant_affine *requant, uint32_t groups,
                     uint32_t *NN_RESTRICT scratch, int8_t *y);
void nn_conv_a8_wino_3x3(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                         const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                         const nn_requant_affine *requant, uint32_t groups, uint32_t *NN_RESTRICT scratch,
                         int8_t *NN_RESTRICT y);

/* The same for a16 with accumulators and biases of 32 bits: |acc| < 2^31; x_zero and zero point 0;
 * convolutions: every shift in -17..-1. Depthwise: w as for q8, scratch as for q16. Others: scratch as for
 * nn_conv_q16_simd,
 *
 *   w  [F/2][K/2], rounded up. The bytes of a word, first to last: weight k of filter f, of f+1,
 *      weight k+1 of f, of f+1 */
void nn_conv_a16_simd(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                      const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                      const nn_requant_affine *requant, uint32_t *NN_RESTRICT scratch,
                      int16_t *NN_RESTRICT y);
void nn_conv_a16_depthwise(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                           const int32_t *NN_RESTRICT bias, const nn_conv_shape *shape,
                           const nn_requant_affine *requant, uint32_t down, uint32_t *NN_RESTRICT scratch,
                           int16_t *NN_RESTRICT y);
void nn_dense_a16_simd(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                       const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                       const nn_requant_affine *requant, int16_t *NN_RESTRICT y);

/* Addition: with L = 20 (a8) or 15 (a16),
 * y[i] = clamp(zero_point + m * (m_a * ((a[i] - zero_a) * 2^L) + m_b * ((b[i] - zero_b) * 2^L)), min, max).
 * No shift is positive; m_a + m_b <= 1. In place on a or on b. */
typedef struct {
    int32_t zero_a, zero_b;
    int32_t multiplier_a, multiplier_b, multiplier;
    int8_t shift_a, shift_b, shift;
    int32_t zero_point;
    int32_t min, max;
} nn_add_affine;

void nn_add_a8(const int8_t *a, const int8_t *b, uint32_t count, const nn_add_affine *add, int8_t *y);
void nn_add_a16(const int16_t *a, const int16_t *b, uint32_t count, const nn_add_affine *add, int16_t *y);

/* Average pooling as above, x and y with one scale and zero point: clamp(sum / count, min, max), halves away
 * from zero. At most 2^23 (a8) or 32768 (a16) elements in a window. */
void nn_pool_avg_a8(const int8_t *x, const nn_pool_shape *shape, int8_t min, int8_t max, int8_t *y);
void nn_pool_avg_a16(const int16_t *x, const nn_pool_shape *shape, int16_t min, int16_t max, int16_t *y);

/* Mean over positions into a scale and zero point of its own: y[c] = clamp(zero_point + m[0] * sum of
 * (x[i][c] - zero), min, max) over i < positions; 1/positions is in m[0]. The sum fits int32_t. In place. */
void nn_mean_a8(const int8_t *x, uint32_t positions, uint32_t channels, int32_t zero,
                const nn_requant_affine *requant, int8_t *y);
void nn_mean_a16(const int16_t *x, uint32_t positions, uint32_t channels, int32_t zero,
                 const nn_requant_affine *requant, int16_t *y);

/* Copy as above into another scale and zero point: y = clamp(zero_point + m[0] * (x - zero), min, max). In
 * place when y_stride = row. */
void nn_requantize_a8(const int8_t *x, uint32_t rows, uint32_t row, uint32_t y_stride, int32_t zero,
                      const nn_requant_affine *requant, int8_t *y);
void nn_requantize_a16(const int16_t *x, uint32_t rows, uint32_t row, uint32_t y_stride, int32_t zero,
                       const nn_requant_affine *requant, int16_t *y);

/* Softmax of each row. In place.
 * a8: y has scale 1/256 and zero point -128; multiplier and left bring differences of x to Q5.26, those below
 * `smallest` (<= 0) count as e^-infinity; at most 4095 elements a row.
 * a16: y has scale 1/32768; multiplier and shift bring differences to steps of 10/65535; at most 65535 a row.
 */
void nn_softmax_a8(const int8_t *x, uint32_t rows, uint32_t row, int32_t multiplier, int32_t left,
                   int32_t smallest, int8_t *y);
void nn_softmax_a16(const int16_t *x, uint32_t rows, uint32_t row, int32_t multiplier, int32_t shift,
                    int16_t *y);

/* ---- Helpers ---- */

/* e^x by range reduction and a polynomial: the same bits wherever float is IEEE 754 binary32 and expressions
 * are not contracted to FMA. Relative error below 2^-22; 0 for x < -87, infinity for
 * x > 88.72283, NaN for NaN. */
float nn_exp_f32(float x);

/* CRC-32 of IEEE 802.3 (zlib's crc32): start with crc = 0, continue with the last result. */
uint32_t nn_crc32(uint32_t crc, const void *data, uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
