/* The kernels of type f32. */
#include "support.h"
#include "tests.h"
#include <math.h>
#include <string.h>

#define T float
#define W float
#define ACC float
#define OUT nn_range_f32
#define NAME(op) nn_##op##_f32
#define TEST(op) test_nn_##op##_f32
#define RANDOM_X() ((float)random_signed(24) * 0x1p-22f)
#define RANDOM_W() ((float)random_signed(24) * 0x1p-23f)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() ((float)random_signed(24) * 0x1p-23f)
#define FINISH(acc, out) oracle_clamp(acc, out)
#define FINISH_FILTER(acc, out, f) oracle_clamp(acc, out)
#define X_ZERO(shape) 0.0f
#define OUTS outs
#define OUT_COUNT 3u
#define BITS(value) float_bits(value)

static const nn_range_f32 outs[OUT_COUNT] = {{-INFINITY, INFINITY}, {0.0f, INFINITY}, {-0.5f, 0.75f}};

#include "sums.inc"

#define SIMD_BYTES(filters, k) (((filters) + 3u) / 4u * (k) * 16u)
#define SIMD_AT(f, i, k) (((f) / 4u * (k) + (i)) * 4u + (f) % 4u)
#define SCRATCH_WORDS(k, width) (0u * (width))
#define SERVES(shape) true
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    ((void)(scratch), nn_conv_f32_simd(x, w, bias, shape, out, y))
#define SIMD_OUTS OUTS
#define SIMD_OUT_COUNT OUT_COUNT
#define TEST_SIMD test_nn_conv_f32_simd
#include "simd.inc"

static void check_depthwise(const nn_conv_shape *s, uint32_t number, bool at_end) {
    const nn_range_f32 *out = &outs[number % OUT_COUNT];
    const uint32_t x_count = (uint32_t)s->in_h * s->in_w * s->in_c;
    const uint32_t y_count = (uint32_t)s->out_h * s->out_w * s->out_c;
    const uint32_t k = (uint32_t)s->k_h * s->k_w;
    float *x = guarded_part(&buffer_x, x_count * sizeof(float), at_end);
    float *w = guarded_part(&buffer_w, s->out_c * k * sizeof(float), at_end);
    float *table = guarded_part(&buffer_simd, s->out_c * k * sizeof(float), at_end);
    float *bias = guarded_part(&buffer_bias, s->out_c * sizeof(float), at_end);
    float *y = guarded_part(&buffer_y, y_count * sizeof(float), at_end);
    for (uint32_t i = 0; i < x_count; i++) {
        x[i] = RANDOM_X();
    }
    for (uint32_t i = 0; i < s->out_c * k; i++) {
        w[i] = table[i % k * s->out_c + i / k] = RANDOM_W();
    }
    for (uint32_t i = 0; i < s->out_c; i++) {
        bias[i] = RANDOM_BIAS();
    }
    x[x_count / 2u] = number % 4u == 1u ? NAN : number % 4u == 3u ? -INFINITY : x[x_count / 2u];
    bias[0] = number % 2u == 0u ? -0.0f : bias[0];
    nn_conv_f32(x, w, bias, s, out, (float *)expected_words);
    nn_conv_f32_depthwise(x, table, bias, s, out, y);
    const float *expected = (const float *)expected_words;
    for (uint32_t i = 0; i < y_count; i++) {
        TEST_CHECK(isnan(expected[i]) ? isnan(y[i]) : BITS(y[i]) == BITS(expected[i]));
    }
    TEST_CHECK(guarded_intact(&buffer_y));
}

/* The bits of nn_conv_f32. */
void test_nn_conv_f32_depthwise(void) {
    /* All channels and 3 x 3 taps one position apart have their own loops. */
    enum { MORE = 10 };
    static const nn_conv_shape more[MORE] = {
        {1, 5, 31, 1, 5, 31, 1, 3, 1, 1, 1, 1, 0, 1, 31, 0},
        {1, 4, 24, 1, 2, 24, 1, 2, 1, 2, 1, 1, 0, 0, 24, 0},
        {1, 3, 59, 1, 3, 59, 1, 1, 1, 1, 1, 1, 0, 0, 59, 0},
        {3, 2, 8, 3, 2, 8, 3, 3, 1, 1, 2, 2, 2, 2, 8, 0},
        {3, 5, 4, 3, 5, 4, 3, 3, 1, 1, 1, 1, 1, 1, 4, 0},
        {4, 9, 2, 2, 7, 2, 3, 3, 1, 1, 1, 1, 0, 0, 2, 0},
        {1, 12, 5, 4, 12, 5, 3, 3, 1, 1, 1, 1, 4, 1, 5, 0},
        {9, 6, 1, 4, 5, 1, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0},
        {5, 10, 3, 6, 10, 3, 3, 3, 1, 1, 1, 1, 2, 0, 3, 0},
        {2, 11, 1, 6, 11, 1, 3, 3, 1, 1, 1, 1, 2, 1, 1, 0},
    };
    for (uint32_t run = 0; run < 2u * (CONV_COUNT + MORE); run++) {
        const uint32_t number = run / 2u;
        const nn_conv_shape *s = number < CONV_COUNT ? &conv_shapes[number] : &more[number - CONV_COUNT];
        if (s->groups == s->in_c) {
            check_depthwise(s, number, run % 2u);
        }
    }
}

/* A number in -1 .. 1 of its own for each i. */
static float some_float(uint32_t i) {
    return (float)(int32_t)(i * 2654435761u ^ i * 40503u << 7) * 0x1p-31f;
}

/* Near nn_conv_f32, and the bits that all computers agree on. */
void test_nn_conv_f32_wino(void) {
    static const uint32_t known[WINO_COUNT] = {0x796C3BAEu, 0x435C07FFu, 0x0927C8BBu, 0x1DD89128u,
                                               0xE24A9832u, 0x34A49A7Fu, 0x226F2DFBu, 0xD2687A3Fu};
    enum { GROUPS = 2 };
    for (uint32_t run = 0; run < 2u * WINO_COUNT; run++) {
        const uint32_t number = run / 2u;
        const nn_range_f32 *out = &outs[number % OUT_COUNT];
        const nn_conv_shape s = wino_shape(number);
        const uint32_t x_count = (uint32_t)s.in_h * s.in_w * s.in_c;
        const uint32_t y_count = (uint32_t)s.out_h * s.out_w * s.out_c;
        const uint32_t k = 3u * s.in_c;
        float *x = guarded_part(&buffer_x, x_count * sizeof(float), run % 2u);
        float *w = guarded_part(&buffer_w, s.out_c * k * sizeof(float), run % 2u);
        float *bias = guarded_part(&buffer_bias, s.out_c * sizeof(float), run % 2u);
        float *y = guarded_part(&buffer_y, y_count * sizeof(float), run % 2u);
        const uint32_t w_bytes = (s.out_c + 3u) / 4u * k * 16u;
        float *table = guarded_part(&buffer_simd, w_bytes, run % 2u);
        memset(table, 0, w_bytes);
        for (uint32_t i = 0; i < x_count; i++) {
            x[i] = some_float(i + 1000u * number);
        }
        for (uint32_t i = 0; i < s.out_c * k; i++) {
            w[i] = some_float(i + 7777u);
            const uint32_t f = i / k;
            const uint32_t tap = i % k / s.in_c;
            table[((f / 4u * s.in_c + i % s.in_c) * 3u + tap) * 4u + f % 4u] = w[i];
        }
        for (uint32_t i = 0; i < s.out_c; i++) {
            bias[i] = some_float(i + 99u);
        }
        nn_conv_f32(x, w, bias, &s, out, (float *)expected_words);
        float *scratch =
            guarded_part(&buffer_scratch, 24u * s.in_c * (GROUPS + 1u) * sizeof(float), run % 2u);
        nn_conv_f32_wino(x, table, bias, &s, out, GROUPS, scratch, y);
        const float *expected = (const float *)expected_words;
        for (uint32_t i = 0; i < y_count; i++) {
            const float error = y[i] - expected[i];
            TEST_CHECK(error > -1e-5f && error < 1e-5f);
        }
        TEST_EQUAL((int32_t)nn_crc32(0u, y, y_count * sizeof(float)), (int32_t)known[number], number, 0u);
        TEST_CHECK(guarded_intact(&buffer_y) && guarded_intact(&buffer_scratch));
    }
}

#define LEFTS(i, j)
#define ADD(a, b, i, j) ((a) + (b))
#include "adds.inc"

#define SUM float
#define LOWEST -INFINITY
#define HIGHEST INFINITY
#define RELU_MAX 0.5f
#define MEAN(sum, count, out) oracle_clamp((sum) / (float)(count), out)
#define COPY(x, out) oracle_clamp(x, out)
#include "maps.inc"

void TEST(softmax)(void) {
    for (uint32_t run = 0; run < 15u; run++) { /* y at the beginning, at the end, in place */
        enum { ROWS = 3 };
        const uint32_t number = run / 3u;
        const uint32_t row = number == 0u ? 1u : 3u * number;
        float *x = guarded_part(&buffer_x, ROWS * row * sizeof(float), run % 3u == 1u);
        float *y = guarded_part(&buffer_y, ROWS * row * sizeof(float), run % 3u == 1u);
        float *expected = (float *)expected_words;
        for (uint32_t i = 0; i < ROWS * row; i++) {
            expected[i] = x[i] = RANDOM_X() * (float)(4u * number);
        }
        for (uint32_t r = 0; r < ROWS; r++) {
            oracle_softmax(expected + r * row, row);
        }
        y = run % 3u == 2u ? x : y;
        nn_softmax_f32(x, ROWS, row, y);
        for (uint32_t i = 0; i < ROWS * row; i++) {
            const float error = y[i] - expected[i];
            TEST_CHECK(error > -1e-4f && error < 1e-4f);
        }
        TEST_CHECK(guarded_intact(&buffer_x) && guarded_intact(&buffer_y));
    }
}

/* Bits, since host and boards must agree on them; the values are those of microai.codegen.softmax.exp_f32. */
void test_exp_f32(void) {
    static const float x[] = {0.0f, 1.0f, -1.0f, 0.34f, -0.35f, 10.5f, -20.25f, -86.99f, 88.72f};
    static const uint32_t bits[] = {0x3F800000u, 0x402DF854u, 0x3EBC5AB2u, 0x3FB3D552u, 0x3F346670u,
                                    0x470DDB81u, 0x30DC9EF1u, 0x00B503B6u, 0x7F7F4648u};
    for (uint32_t i = 0; i < sizeof x / sizeof x[0]; i++) {
        TEST_EQUAL(float_bits(nn_exp_f32(x[i])), (int32_t)bits[i], 0u, i);
    }
    TEST_CHECK(nn_exp_f32(-87.01f) == 0.0f && nn_exp_f32(-INFINITY) == 0.0f);
    TEST_CHECK(nn_exp_f32(88.73f) == INFINITY && nn_exp_f32(INFINITY) == INFINITY);
    TEST_CHECK(isnan(nn_exp_f32(NAN)));
}
