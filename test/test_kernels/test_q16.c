/* The kernels of type q16. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

#define T int16_t
#define W int16_t
#define ACC int32_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q16
#define TEST(op) test_nn_##op##_q16
#define RANDOM_X() (T) random_signed(16)
#define RANDOM_W() (W) random_signed(8)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() random_signed(22)
#define FINISH(acc, out) (T) oracle_round(acc, 1, out)
#define FINISH_FILTER(acc, out, f) (T) oracle_round_filter(acc, out, f)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 6u
#define BITS(value) (value)

static const int8_t shifts[] = {9, 6, 0, 11, -1, 8}; /* of the filters */
static const nn_requant outs[OUT_COUNT] = {
    {9, NN_ROUND_FLOOR, -32768, 32767, NULL},  {10, NN_ROUND_NEAREST, 0, 32767, NULL},
    {8, NN_ROUND_TRUNC, -256, 255, NULL},      {0, NN_ROUND_NEAREST, -32768, 32767, NULL},
    {-3, NN_ROUND_FLOOR, -32768, 32767, NULL}, {7, NN_ROUND_NEAREST, -32768, 32767, shifts},
};

#include "sums.inc"

#define SIMD_BYTES(filters, k) (((filters) + 1u) / 2u * (((k) + 1u) / 2u) * 8u)
#define SIMD_AT(f, i, k) (((f) / 2u * (((k) + 1u) / 2u) + (i) / 2u) * 4u + (f) % 2u * 2u + (i) % 2u)
#define SCRATCH_WORDS(k, width) ((width) * (((k) + 1u) / 2u) + ((k) + 1u) / 2u)
#define SERVES(shape) true
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_q16_simd(x, (const uint32_t *)(const void *)(w), bias, shape, out, scratch, y)

static const int8_t simd_shifts[] = {9, 6, 0, 11, 10, 8, 31, 7, 12, 9}; /* of the filters */
static const nn_requant simd_outs[] = {
    {9, NN_ROUND_FLOOR, -32768, 32767, NULL},
    {10, NN_ROUND_FLOOR, 0, 32767, NULL},
    {8, NN_ROUND_FLOOR, -100, 99, NULL},
    {9, NN_ROUND_FLOOR, 0, 32740, NULL},
    {0, NN_ROUND_FLOOR, -32768, 32767, NULL},
    {7, NN_ROUND_FLOOR, -32768, 32767, simd_shifts},
    {99, NN_ROUND_FLOOR, 0, 32767, simd_shifts + 1},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 7u
#define TEST_SIMD test_nn_conv_q16_simd
#include "simd.inc"

#define TEST_DEPTHWISE test_nn_conv_q16_depthwise
#define CONV_DEPTHWISE nn_conv_q16_depthwise
#define DEPTHWISE_TAPS {0, 1, -1, 0}
#define LANES 2u
#include "depthwise.inc"

#define TEST_WINO test_nn_conv_q16_wino
#define WINO_W() (W) random_signed(10)
#define WINO_MORE 12u
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_q16_wino(x, (const uint32_t *)(const void *)(w), bias, shape, out, groups, scratch, y)
#include "wino_q16.inc"

#define LEFTS(i, j) i, j,
#define ADD(a, b, i, j) ((int64_t)(a) * (1 << (i)) + (int64_t)(b) * (1 << (j)))
#include "adds.inc"

#define LOWEST INT16_MIN
#define HIGHEST INT16_MAX
#define RELU_MAX 20000

#define SUM int32_t
#define MEAN(sum, count, out) (T) oracle_round(sum, (int64_t)(count), out)
#define COPY(x, out) (T) oracle_round(x, 1, out)

#include "maps.inc"

static const int8_t softmax_fracs[5][2] = {{12, 15}, {15, 15}, {9, 9}, {14, 12}, {0, 15}};
#define TOLERANCE 0.9f
#include "softmax.inc"

void test_nn_softmax_q16(void) {
    TEST(softmaxes)();
    /* Bits, since they are defined; the values are those of microai.codegen.softmax.softmax_fixed. */
    static const int16_t known_x[7] = {-32768, -3000, 0, 4000, 4001, 9999, -12345};
    static const int16_t known_y[7] = {1, 860, 1788, 4747, 4749, 20536, 88};
    int16_t y[7];
    nn_softmax_q16(known_x, 1u, 7u, 12, 15, y);
    for (uint32_t i = 0; i < 7u; i++) {
        TEST_EQUAL(y[i], known_y[i], 99u, i);
    }
}
