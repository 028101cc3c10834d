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

/* Against nn_conv_q16; inputs 0 and 32767 alone now and then. */
void test_nn_conv_q16_wino(void) {
    enum { GROUPS = 1 };
    for (uint32_t run = 0; run < 2u * WINO_COUNT; run++) {
        const uint32_t number = run / 2u;
        const nn_requant *out = &simd_outs[number % (SIMD_OUT_COUNT - 1u)];
        const nn_conv_shape s = wino_shape(number);
        const uint32_t x_count = (uint32_t)s.in_h * s.in_w * s.in_c;
        const uint32_t y_count = (uint32_t)s.out_h * s.out_w * s.out_c;
        const uint32_t k = 3u * s.in_c;
        const uint32_t pairs = (s.in_c + 1u) / 2u;
        int16_t *x = guarded_part(&buffer_x, x_count * sizeof(int16_t), run % 2u);
        int16_t *w = guarded_part(&buffer_w, s.out_c * k * sizeof(int16_t), run % 2u);
        int32_t *bias = guarded_part(&buffer_bias, s.out_c * sizeof(int32_t), run % 2u);
        int16_t *y = guarded_part(&buffer_y, y_count * sizeof(int16_t), run % 2u);
        for (uint32_t i = 0; i < x_count; i++) {
            const int32_t value = random_signed(16);
            x[i] = (int16_t)(number % 3u == 0u ? (value < 0 ? 0 : INT16_MAX) : value & INT16_MAX);
        }
        for (uint32_t i = 0; i < s.out_c * k; i++) {
            w[i] = (int16_t)random_signed(10);
        }
        for (uint32_t i = 0; i < s.out_c; i++) {
            bias[i] = RANDOM_BIAS();
        }
        nn_conv_q16(x, w, bias, &s, out, (int16_t *)expected_words);
        const uint32_t w_bytes = (s.out_c + 1u) / 2u * 2u * pairs * 12u;
        int16_t *table = guarded_part(&buffer_simd, w_bytes, run % 2u);
        memset(table, 0, w_bytes);
        for (uint32_t f = 0; f < s.out_c; f++) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < k; i++) {
                const uint32_t tap = i / s.in_c;
                const uint32_t channel = i % s.in_c;
                sum += w[f * k + i];
                table[((f * pairs + channel / 2u) * 3u + tap) * 2u + channel % 2u] = w[f * k + i];
            }
            bias[f] = 2 * bias[f] + 32768 * sum;
        }
        uint32_t *scratch = guarded_part(&buffer_scratch, 4u * (32u * GROUPS + 12u) * pairs, run % 2u);
        nn_conv_q16_wino(x, (const uint32_t *)(const void *)table, bias, &s, out, GROUPS, scratch, y);
        const int16_t *expected = (const int16_t *)expected_words;
        for (uint32_t i = 0; i < y_count; i++) {
            TEST_EQUAL(y[i], expected[i], number, i);
        }
        TEST_CHECK(guarded_intact(&buffer_y) && guarded_intact(&buffer_scratch));
    }
}

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
