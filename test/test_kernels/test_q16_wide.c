/* The kernels of type q16_wide. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

#define T int16_t
#define W int16_t
#define ACC int64_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q16_wide
#define TEST(op) test_nn_##op##_q16_wide
#define RANDOM_X() (T) random_signed(16)
#define RANDOM_W() (W) random_signed(16)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() random_signed(32) * (INT64_C(1) << 16)
#define FINISH(acc, out) (T) oracle_round(acc, 1, out)
#define FINISH_FILTER(acc, out, f) (T) oracle_round_filter(acc, out, f)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 6u
#define BITS(value) (value)

static const int8_t shifts[] = {32, 29, 0, 34, -1, 31}; /* of the filters */
static const nn_requant outs[OUT_COUNT] = {
    {32, NN_ROUND_FLOOR, -32768, 32767, NULL}, {30, NN_ROUND_NEAREST, 0, 32767, NULL},
    {31, NN_ROUND_TRUNC, -256, 255, NULL},     {0, NN_ROUND_NEAREST, -32768, 32767, NULL},
    {-3, NN_ROUND_FLOOR, -32768, 32767, NULL}, {7, NN_ROUND_NEAREST, -32768, 32767, shifts},
};

#include "sums.inc"

/* By SIMD biases have 32 bits. Cases take turns: most sums leave 32 bits, no sum does, the largest products.
 */
#undef RANDOM_X
#define RANDOM_X() (T)(number % 3u == 2u ? random_signed(1) * 32768 : random_signed(16))
#undef RANDOM_BIAS
#define RANDOM_BIAS() random_signed(number % 3u == 1u ? 28 : 32)
#undef RANDOM_W
#define RANDOM_W()                                                                                           \
    (W)(number % 3u == 2u ? random_signed(1) * 32768 : random_signed(number % 3u == 0u ? 16 : 10))
#define SIMD_BYTES(filters, k) (((filters) + 1u) / 2u * (((k) + 1u) / 2u) * 8u)
#define SIMD_AT(f, i, k) (((f) / 2u * (((k) + 1u) / 2u) + (i) / 2u) * 4u + (f) % 2u * 2u + (i) % 2u)
#define SCRATCH_WORDS(k, width) ((width) * (((k) + 1u) / 2u) + ((k) + 1u) / 2u)
#define SERVES(shape) true
enum { MOST_FILTERS = 16 };
static const int32_t *narrowed(const ACC *bias, const nn_conv_shape *shape, int32_t *narrow) {
    TEST_CHECK(shape->out_c <= MOST_FILTERS);
    for (uint32_t f = 0; f < shape->out_c; f++) {
        narrow[f] = (int32_t)bias[f];
    }
    return narrow;
}

static void conv_simd(const T *x, const W *table, const ACC *bias, const nn_conv_shape *shape,
                      const nn_requant *out, uint32_t *scratch, T *y) {
    int32_t narrow[MOST_FILTERS];
    nn_conv_q16_wide_simd(x, (const uint32_t *)(const void *)table, narrowed(bias, shape, narrow), shape, out,
                          scratch, y);
}
#define CONV_SIMD conv_simd

static const int8_t simd_shifts[] = {16, 18, 0, 20, 19, 17, 31, 15, 21, 18}; /* of the filters */
static const nn_requant simd_outs[] = {
    {17, NN_ROUND_FLOOR, -32768, 32767, NULL},
    {18, NN_ROUND_FLOOR, 0, 32767, NULL},
    {20, NN_ROUND_FLOOR, -100, 99, NULL},
    {0, NN_ROUND_FLOOR, -32768, 32767, NULL},
    {7, NN_ROUND_FLOOR, -32768, 32767, simd_shifts},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 5u
#define TEST_SIMD test_nn_conv_q16_wide_simd
#include "simd.inc"

static void conv_depthwise(const T *x, const uint32_t *table, const ACC *bias, const nn_conv_shape *shape,
                           const nn_requant *out, uint32_t down, uint32_t *scratch, T *y) {
    int32_t narrow[MOST_FILTERS];
    nn_conv_q16_wide_depthwise(x, table, narrowed(bias, shape, narrow), shape, out, down, scratch, y);
}
#define TEST_DEPTHWISE test_nn_conv_q16_wide_depthwise
#define CONV_DEPTHWISE conv_depthwise
#define DEPTHWISE_TAPS {0, 1, -1, 0}
#define LANES 2u
#include "depthwise.inc"

#define LEFTS(i, j) i, j,
#define ADD(a, b, i, j) ((int64_t)(a) * (1 << (i)) + (int64_t)(b) * (1 << (j)))
#include "adds.inc"
