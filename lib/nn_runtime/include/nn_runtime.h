/* nn_runtime: the layers of a neural network as plain C functions for small microcontrollers.
 *
 * Words used below
 *   H W C      height, width, channels of the input x       F        filters (channels of the output y)
 *   KH KW      kernel                                        G        groups
 *   Channels are last everywhere; one-dimensional data (T time steps) have H = 1, W = T.
 *   q8, q16    fixed point in int8_t, int16_t: real = q * 2^-frac. Narrower formats (say 9 bits in int16_t)
 * use the same kernels with tighter clamp bounds. f32        float; sums run in the written order, multiply
 * then add, so that host and target give the same bits. _wide      same storage, 64-bit accumulator and bias.
 *
 * Common rules
 *   - Every array is allocated by the caller and aligned for its element type. No kernel needs scratch
 * memory, keeps state between calls, allocates or recurses.
 *   - y must not overlap an input unless the kernel says "in place"; then y may be exactly that input,
 * element 0 on element 0.
 *   - Dimensions are 1..65535, counts below 2^32 (0 is allowed for `count`, `rows` and `row`).
 *   - Accumulators must not overflow: the caller has proved sum|w| * max|x| + |bias| <= 2^31 - 1 (wide: 2^63
 * - 1) for every output channel. All other inputs are free: results are rounded and clamped as nn_requant.h
 * defines. The numbers are defined in SPEC.md; nn_kernels.def lists every kernel.
 */
#ifndef NN_RUNTIME_H
#define NN_RUNTIME_H

#include <stdint.h>

/* Raised whenever a declaration here changes meaning; generated models refuse another value. */
#define NN_RUNTIME_API 1

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
    uint8_t rounding; /* an nn_rounding */
    int32_t min, max; /* min <= max, both inside the output type; a fused ReLU is min = 0 */
} nn_requant;

/* Output of float kernels: y = acc < min ? min : acc > max ? max : acc; -INFINITY..INFINITY is no clamp. NaN
 * stays NaN. */
typedef struct {
    float min, max;
} nn_range_f32;

/* x [in_h][in_w][in_c] -> y [out_h][out_w][out_c]. Tap (kh, kw) of output (oh, ow) is input row
 * oh * stride_h - pad_top + kh * dilation_h, column ow * stride_w - pad_left + kw * dilation_w; outside the
 * input it is zero. Padding at the bottom and right is what out_h and out_w imply. groups divides in_c and
 * out_c; strides and dilations are >= 1; out_h * stride_h and out_w * stride_w are below 2^31. */
typedef struct {
    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;
    uint16_t k_h, k_w;
    uint16_t stride_h, stride_w;
    uint16_t dilation_h, dilation_w;
    uint16_t pad_top, pad_left;
    uint16_t groups;
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

/* ---- Convolution
 * ------------------------------------------------------------------------------------------------------
 * y[oh][ow][f] = out(bias[f] + sum over kh, kw, c of x[row(oh, kh)][col(ow, kw)][g * C/G + c] *
 * w[f][kh][kw][c]), g = f / (F/G); out() is the requantization or the float clamp. x      [H][W][C] w
 * [F][KH][KW][C/G] bias   [F], at the accumulator's scale (frac_x + frac_w), never NULL y [out_h][out_w][F]
 * groups = C with F = m * C is a depthwise convolution of multiplier m. Fastest with groups 1 and
 * dilation_w 1. */
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
void nn_conv_f32(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                 const nn_conv_shape *shape, const nn_range_f32 *range, float *NN_RESTRICT y);

/* ---- Dense
 * ------------------------------------------------------------------------------------------------------------
 * y[f] = out(bias[f] + sum over c of x[c] * w[f][c]);  x [in], w [out][in], bias [out] (never NULL), y [out].
 */
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
void nn_dense_f32(const float *NN_RESTRICT x, const float *NN_RESTRICT w, const float *NN_RESTRICT bias,
                  uint32_t in, uint32_t out, const nn_range_f32 *range, float *NN_RESTRICT y);

/* ---- Maximum pooling
 * --------------------------------------------------------------------------------------------------
 * y[oh][ow][c] = clamp(max of the window's elements inside the input, min, max): padding never wins, format
 * of y = format of x, min = 0 is a fused ReLU. A window wholly outside the input gives min. f32: NaN never
 * wins. In place when pad_top = pad_left = 0 and out_w <= in_w. */
void nn_pool_max_q8(const int8_t *x, const nn_pool_shape *shape, int8_t min, int8_t max, int8_t *y);
void nn_pool_max_q16(const int16_t *x, const nn_pool_shape *shape, int16_t min, int16_t max, int16_t *y);
void nn_pool_max_f32(const float *x, const nn_pool_shape *shape, float min, float max, float *y);

/* ---- Average pooling
 * --------------------------------------------------------------------------------------------------
 * y[oh][ow][c] = clamp(round(sum * 2^-shift / count), min, max) over the `count` elements of the window
 * inside the input: one rounding of the exact quotient. shift -31..31. A window wholly outside the input
 * gives clamp(0). f32: sum / count, the sum from 0.0f in the order kh, kw. Requires at most 65536 (q16) or
 * 2^24 (q8) elements a window. In place when pad_top = pad_left = 0 and out_w <= in_w. */
void nn_pool_avg_q8(const int8_t *x, const nn_pool_shape *shape, const nn_requant *requant, int8_t *y);
void nn_pool_avg_q16(const int16_t *x, const nn_pool_shape *shape, const nn_requant *requant, int16_t *y);
void nn_pool_avg_f32(const float *x, const nn_pool_shape *shape, const nn_range_f32 *range, float *y);

/* ---- Addition
 * ---------------------------------------------------------------------------------------------------------
 * y[i] = out(a[i] * 2^left_a + b[i] * 2^left_b), i < count: the left shifts (0..30, wide 0..46) bring both to
 * one scale. The int32_t variants require both products and their sum to fit 32 bits. f32: y = out(a + b). In
 * place on a or on b. */
void nn_add_q8(const int8_t *a, const int8_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
               const nn_requant *requant, int8_t *y);
void nn_add_q16(const int16_t *a, const int16_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
                const nn_requant *requant, int16_t *y);
void nn_add_q16_wide(const int16_t *a, const int16_t *b, uint32_t count, uint8_t left_a, uint8_t left_b,
                     const nn_requant *requant, int16_t *y);
void nn_add_f32(const float *a, const float *b, uint32_t count, const nn_range_f32 *range, float *y);

/* ---- Copy
 * -------------------------------------------------------------------------------------------------------------
 * y[r * y_stride + j] = out(x[r * row + j]), r < rows, j < row, y_stride >= row: a standalone ReLU or change
 * of format (rows 1), one part of a concatenation (y_stride = all channels) or of explicit padding. Elements
 * of y between the rows are left alone. In place when y_stride = row. */
void nn_copy_q8(const int8_t *x, uint32_t rows, uint32_t row, uint32_t y_stride, const nn_requant *requant,
                int8_t *y);
void nn_copy_q16(const int16_t *x, uint32_t rows, uint32_t row, uint32_t y_stride, const nn_requant *requant,
                 int16_t *y);
void nn_copy_f32(const float *x, uint32_t rows, uint32_t row, uint32_t y_stride, const nn_range_f32 *range,
                 float *y);

/* ---- Fill
 * -------------------------------------------------------------------------------------------------------------
 * y[i] = value, i < count. */
void nn_fill_q8(int8_t value, uint32_t count, int8_t *y);
void nn_fill_q16(int16_t value, uint32_t count, int16_t *y);
void nn_fill_f32(float value, uint32_t count, float *y);

/* ---- Softmax
 * ----------------------------------------------------------------------------------------------------------
 * y[r][j] = e^x[r][j] / sum over i of e^x[r][i], each of `rows` rows of `row` elements; the row's maximum is
 * subtracted first. q8, q16: integers only; frac_in -15..31, frac_out 0..31; y in 0..127 or 0..32767, error
 * below 1 (SPEC.md, section 6). f32: finite x. In place. */
void nn_softmax_q8(const int8_t *x, uint32_t rows, uint32_t row, int8_t frac_in, int8_t frac_out, int8_t *y);
void nn_softmax_q16(const int16_t *x, uint32_t rows, uint32_t row, int8_t frac_in, int8_t frac_out,
                    int16_t *y);
void nn_softmax_f32(const float *x, uint32_t rows, uint32_t row, float *y);

/* ---- Helpers ---- */

/* e^x by range reduction and a polynomial: the same bits wherever float is IEEE 754 binary32 and FMA
 * contraction is off. Relative error below 2^-22; 0 for x < -87.33654 (results below the smallest normal
 * float), infinity for x > 88.72283. */
float nn_exp_f32(float x);

/* CRC-32 of IEEE 802.3 (zlib's crc32): start with crc = 0, continue with the last result. */
uint32_t nn_crc32(uint32_t crc, const void *data, uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
