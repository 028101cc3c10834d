/* The kernels of type q8. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

#define T int8_t
#define W int8_t
#define ACC int32_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q8
#define TEST(op) test_nn_##op##_q8
#define RANDOM_X() (T) random_signed(8)
#define RANDOM_W() (W) random_signed(8)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() random_signed(18)
#define FINISH(acc, out) (T) oracle_round(acc, 1, out)
#define FINISH_FILTER(acc, out, f) (T) oracle_round_filter(acc, out, f)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 6u
#define BITS(value) (value)

static const int8_t shifts[] = {8, 5, 0, 10, -1, 7}; /* of the filters */
static const nn_requant outs[OUT_COUNT] = {
    {8, NN_ROUND_FLOOR, -128, 127, NULL},  {10, NN_ROUND_NEAREST, 0, 127, NULL},
    {9, NN_ROUND_TRUNC, -100, 99, NULL},   {0, NN_ROUND_NEAREST, -128, 127, NULL},
    {-3, NN_ROUND_FLOOR, -128, 127, NULL}, {7, NN_ROUND_NEAREST, -128, 127, shifts},
};

#include "sums.inc"

#include "simd_8.inc"
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_q8_simd(x, (const uint32_t *)(const void *)(w), bias, shape, out, scratch, y)

static const int8_t simd_shifts[] = {8, 5, 0, 10, 9, 7, 31, 6, 11, 8}; /* of the filters */
static const nn_requant simd_outs[] = {
    {8, NN_ROUND_FLOOR, -128, 127, NULL},
    {10, NN_ROUND_FLOOR, 0, 127, NULL},
    {9, NN_ROUND_FLOOR, -100, 99, NULL},
    {8, NN_ROUND_FLOOR, 0, 100, NULL},
    {0, NN_ROUND_FLOOR, -128, 127, NULL},
    {7, NN_ROUND_FLOOR, -128, 127, simd_shifts},
    {99, NN_ROUND_FLOOR, -100, 99, simd_shifts + 1},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 7u
#define TEST_SIMD test_nn_conv_q8_simd
#include "simd.inc"

#define TEST_DEPTHWISE test_nn_conv_q8_depthwise
#define CONV_DEPTHWISE nn_conv_q8_depthwise
#define DEPTHWISE_TAPS {0, -1, 1, 0}
#define LANES 4u
#include "depthwise.inc"

#define TEST_WINO test_nn_conv_q8_wino
#define WINO_K_H 1
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_q8_wino(x, (const uint32_t *)(const void *)(w), bias, shape, out, groups, scratch, y)
#include "wino.inc"

#undef TEST_WINO
#undef WINO_K_H
#undef CONV_WINO
#define TEST_WINO test_nn_conv_q8_wino_3x3
#define WINO_K_H 3
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_q8_wino_3x3(x, (const uint32_t *)(const void *)(w), bias, shape, out, groups, scratch, y)
#include "wino.inc"

#define LEFTS(i, j) i, j,
#define ADD(a, b, i, j) ((int64_t)(a) * (1 << (i)) + (int64_t)(b) * (1 << (j)))
#include "adds.inc"

#define LOWEST INT8_MIN
#define HIGHEST INT8_MAX
#define RELU_MAX 90

#define SUM int32_t
#define MEAN(sum, count, out) (T) oracle_round(sum, (int64_t)(count), out)
#define COPY(x, out) (T) oracle_round(x, 1, out)

#include "maps.inc"

static const int8_t softmax_fracs[5][2] = {{4, 7}, {7, 7}, {0, 7}, {5, 6}, {-2, 7}};
#define TOLERANCE 0.51f
#include "softmax.inc"

void test_nn_softmax_q8(void) {
    TEST(softmaxes)();
}
