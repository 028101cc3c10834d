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

#define SIMD_BYTES(filters, k) (((filters) + 1u) / 2u * (((k) + 3u) / 4u) * 8u)
#define SIMD_AT(f, i, k)                                                                                     \
    (((f) / 2u * (((k) + 3u) / 4u) + (i) / 4u) * 8u + (i) % 2u * 4u + (i) % 4u / 2u * 2u + (f) % 2u)
#define SCRATCH_WORDS(k, width) ((width) * (((k) + 3u) / 4u * 2u) + ((k) + 3u) / 4u)
#define SERVES(shape) true
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_q8_simd(x, (const uint32_t *)(const void *)(w), bias, shape, out, scratch, y)

static const int8_t simd_shifts[] = {8, 5, 0, 10, 9, 7, 31}; /* of the filters */
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

/* Against nn_conv_q8: widths with and without a rest, channels, filters, padding on both sides. */
void test_nn_conv_q8_wino(void) {
    static const uint8_t cases[][6] = {
        /* height, input width, channels, filters, padding before, after */
        {1, 12, 9, 3, 1, 1}, {1, 21, 4, 2, 1, 1}, {2, 7, 5, 2, 0, 0}, {1, 35, 3, 1, 2, 0},
        {1, 1, 2, 2, 1, 1},  {1, 24, 8, 4, 1, 1}, {3, 3, 1, 5, 0, 3}, {1, 18, 20, 2, 1, 1},
    };
    enum { GROUPS = 2 };
    for (uint32_t run = 0; run < 16u; run++) {
        const uint32_t number = run / 2u;
        const uint8_t *c = cases[number];
        const nn_requant *out = &simd_outs[number % SIMD_OUT_COUNT];
        const nn_conv_shape s = {.in_h = c[0],
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
        const uint32_t x_count = (uint32_t)s.in_h * s.in_w * s.in_c;
        const uint32_t y_count = (uint32_t)s.out_h * s.out_w * s.out_c;
        const uint32_t k = 3u * s.in_c;
        const uint32_t words = (s.in_c + 3u) / 4u;
        int8_t *x = guarded_part(&buffer_x, x_count, run % 2u);
        int8_t *w = guarded_part(&buffer_w, s.out_c * k, run % 2u);
        int32_t *bias = guarded_part(&buffer_bias, s.out_c * sizeof(int32_t), run % 2u);
        int8_t *y = guarded_part(&buffer_y, y_count, run % 2u);
        for (uint32_t i = 0; i < x_count; i++) {
            x[i] = RANDOM_X();
        }
        for (uint32_t i = 0; i < s.out_c * k; i++) {
            w[i] = RANDOM_W();
        }
        for (uint32_t i = 0; i < s.out_c; i++) {
            bias[i] = RANDOM_BIAS();
        }
        nn_conv_q8(x, w, bias, &s, out, (int8_t *)expected_words);
        const uint32_t w_bytes = (s.out_c + 1u) / 2u * words * 24u;
        int8_t *table = guarded_part(&buffer_simd, w_bytes, run % 2u);
        memset(table, 0, w_bytes);
        for (uint32_t i = 0; i < s.out_c * k; i++) {
            const uint32_t f = i / k;
            const uint32_t tap = i % k / s.in_c;
            const uint32_t channel = i % s.in_c;
            const uint32_t pair = (f / 2u * words + channel / 4u) * 2u + channel % 2u;
            table[(pair * 3u + tap) * 4u + channel % 4u / 2u * 2u + f % 2u] = w[i];
        }
        uint32_t *scratch =
            guarded_part(&buffer_scratch, 4u * ((48u * GROUPS + 30u) * words + 48u), run % 2u);
        nn_conv_q8_wino(x, (const uint32_t *)(const void *)table, bias, &s, out, GROUPS, scratch, y);
        const int8_t *expected = (const int8_t *)expected_words;
        for (uint32_t i = 0; i < y_count; i++) {
            TEST_EQUAL(y[i], expected[i], number, i);
        }
        TEST_CHECK(guarded_intact(&buffer_y) && guarded_intact(&buffer_scratch));
    }
}

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
