/* The kernels of type a8. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

#define T int8_t
#define W int8_t
#define ACC int32_t
#define OUT nn_requant_affine
#define NAME(op) nn_##op##_a8
#define TEST(op) test_nn_##op##_a8
#define RANDOM_X() (T) random_signed(8)
#define RANDOM_W() (W) random_signed(8)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() random_signed(18)
#define FINISH_FILTER(acc, out, f) (T) oracle_affine(acc, out, f, TWICE)
#define FINISH_DENSE(acc, out, f) (T) oracle_affine(acc, out, f, ONCE)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 2u
#define BITS(value) (value)

static const int32_t multipliers[] = {0x40000000, 0x7FFFFFFF, 0x5A827999, 0x60000001, 0x20000000,
                                      0x7FFF1234, 0x50000000, 0x7654321F, 0x40000001};
static const int8_t shifts[2][9] = {{-8, -9, -6, -31, 1, -7, -8, -6, -9},
                                    {-10, 0, -8, -8, -9, -11, -8, -6, -9}};
static const nn_requant_affine outs[OUT_COUNT] = {
    {multipliers, shifts[0], 3, INT8_MIN, INT8_MAX},
    {multipliers, shifts[1], -128, -128, INT8_MAX - 5},
};

#include "sums.inc"

#include "simd_8.inc"
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_a8_simd(x, (const uint32_t *)(const void *)(w), bias, shape, out, scratch, y)
static const int8_t simd_shifts[] = {-8, -9, -6, -22, -1, -7, -8, -6, -9};
static const nn_requant_affine simd_outs[] = {
    {multipliers, simd_shifts, 3, INT8_MIN, INT8_MAX},
    {multipliers, simd_shifts, -128, INT8_MIN, INT8_MAX},
    {multipliers, simd_shifts, 127, -5, INT8_MAX - 5},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 3u
#define TEST_SIMD test_nn_conv_a8_simd
#include "simd.inc"

#define TEST_DEPTHWISE test_nn_conv_a8_depthwise
#define CONV_DEPTHWISE nn_conv_a8_depthwise
#define DEPTHWISE_TAPS {0, -1, 1, 0}
#define LANES 4u
#include "depthwise.inc"

#define TEST_DENSE_SIMD test_nn_dense_a8_simd
#define DENSE_SIMD nn_dense_a8_simd
#define NARROW(bias, count) (bias)
#include "dense_simd.inc"

#define TEST_WINO test_nn_conv_a8_wino
#define WINO_K_H 1
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_a8_wino(x, (const uint32_t *)(const void *)(w), bias, shape, out, groups, scratch, y)
#include "wino.inc"

#undef TEST_WINO
#undef WINO_K_H
#undef CONV_WINO
#define TEST_WINO test_nn_conv_a8_wino_3x3
#define WINO_K_H 3
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_a8_wino_3x3(x, (const uint32_t *)(const void *)(w), bias, shape, out, groups, scratch, y)
#include "wino.inc"

#define LOWEST INT8_MIN
#define HIGHEST INT8_MAX
#define ZERO(n) ((int32_t[]){0, -128, 7, 127}[(n) % 4u])
#define LEFT 20
#include "affine.inc"

/* Bits, since they are defined; the values are those of microai.codegen.affine_math.softmax_a8. */
void TEST(softmax)(void) {
    static const T known_x[7] = {-128, -30, 0, 40, 41, 99, 127};
    static const T known_y[2][7] = {{-128, -128, -127, -122, -122, -68, 55},
                                    {-128, -128, -128, -128, -128, -128, 127}};
    static const int32_t scales[2][3] = {{1374389535, 22, -496}, {1073741824, 26, -31}}; /* 0.04, 0.5 */
    for (uint32_t run = 0; run < 2u; run++) {
        T *x = guarded_part(&buffer_x, 2u * sizeof known_x, run % 2u);
        memcpy(x, known_x, sizeof known_x);
        memcpy(x + 7, known_x, sizeof known_x);
        NAME(softmax)(x, 2u, 7u, scales[run][0], scales[run][1], scales[run][2], x); /* in place */
        for (uint32_t i = 0; i < 14u; i++) {
            TEST_EQUAL(x[i], known_y[run][i % 7u], run, i);
        }
        TEST_CHECK(guarded_intact(&buffer_x));
    }
}
