/* The kernels of type f32. */
#include "support.h"
#include "tests.h"
#include <math.h>

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
