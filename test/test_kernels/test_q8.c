/* The kernels of type q8. */
#include "support.h"
#include "tests.h"

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

void TEST(softmax)(void) {
    static const int8_t fracs[][2] = {{4, 7}, {7, 7}, {0, 7}, {5, 6}, {-2, 7}};
    for (uint32_t run = 0; run < 15u; run++) { /* y at the beginning, at the end, in place */
        enum { ROWS = 3 };
        const uint32_t number = run / 3u;
        const uint32_t row = number == 0u ? 1u : 3u * number;
        const int32_t frac_in = fracs[number][0];
        const int32_t frac_out = fracs[number][1];
        T *x = guarded_part(&buffer_x, ROWS * row * sizeof(T), run % 3u == 1u);
        T *y = guarded_part(&buffer_y, ROWS * row * sizeof(T), run % 3u == 1u);
        float *expected = (float *)expected_words;
        for (uint32_t i = 0; i < ROWS * row; i++) {
            x[i] = RANDOM_X();
            expected[i] = (float)x[i] * power_of_two(-frac_in);
        }
        for (uint32_t r = 0; r < ROWS; r++) {
            oracle_softmax(expected + r * row, row);
        }
        y = run % 3u == 2u ? x : y;
        nn_softmax_q8(x, ROWS, row, (int8_t)frac_in, (int8_t)frac_out, y);
        for (uint32_t i = 0; i < ROWS * row; i++) {
            const float error = (float)y[i] - expected[i] * power_of_two(frac_out);
            TEST_CHECK(error > -1.01f && error < 0.51f && y[i] >= 0);
        }
        TEST_CHECK(guarded_intact(&buffer_x) && guarded_intact(&buffer_y));
    }
}
