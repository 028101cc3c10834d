/* The kernels of type q8. */
#include "support.h"
#include "tests.h"
#include <string.h>

#define T int8_t
#define ACC int32_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q8
#define TEST(op) test_nn_##op##_q8
#define RANDOM_X() (T) random_signed(8)
#define RANDOM_W() (T) random_signed(8)
#define RANDOM_BIAS() random_signed(18)
#define FINISH(acc, out) (T) oracle_round(acc, 1, out)
#define OUTS outs
#define OUT_COUNT 5u
#define BITS(value) (value)

static const nn_requant outs[OUT_COUNT] = {
    {8, NN_ROUND_FLOOR, -128, 127},   {10, NN_ROUND_NEAREST, 0, 127},  {9, NN_ROUND_TRUNC, -100, 99},
    {0, NN_ROUND_NEAREST, -128, 127}, {-3, NN_ROUND_FLOOR, -128, 127},
};

#include "sums.inc"

#define PACKED_BYTES(filters, k) (((filters) + 1u) / 2u * (((k) + 3u) / 4u) * 8u)
#define PACKED_AT(f, i, k)                                                                                   \
    (((f) / 2u * (((k) + 3u) / 4u) + (i) / 4u) * 8u + (i) % 2u * 4u + (i) % 4u / 2u * 2u + (f) % 2u)
#define SCRATCH_WORDS(k, width) ((width) * (((k) + 3u) / 4u * 2u) + ((k) + 3u) / 4u)
#define SERVES(shape) true
#define CONV_PACKED(x, w, bias, shape, out, scratch, y)                                                      \
    nn_conv_packed_q8(x, (const uint32_t *)(const void *)(w), bias, shape, out, scratch, y)

static const nn_requant packed_outs[] = {
    {8, NN_ROUND_FLOOR, -128, 127}, {10, NN_ROUND_FLOOR, 0, 127},   {9, NN_ROUND_FLOOR, -100, 99},
    {8, NN_ROUND_FLOOR, 0, 100},    {0, NN_ROUND_FLOOR, -128, 127},
};
#define PACKED_OUTS packed_outs
#define PACKED_OUT_COUNT 5u
#include "packed.inc"

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
