/* The kernels of type q8_wide. */
#include "support.h"
#include "tests.h"

#define T int8_t
#define ACC int64_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q8_wide
#define TEST(op) test_nn_##op##_q8_wide
#define RANDOM_X() (T) random_signed(8)
#define RANDOM_W() (T) random_signed(8)
#define RANDOM_BIAS() random_signed(32) * (INT64_C(1) << 14)
#define FINISH(acc, out) (T) oracle_round(acc, 1, out)
#define OUTS outs
#define OUT_COUNT 5u
#define BITS(value) (value)

static const nn_requant outs[OUT_COUNT] = {
    {40, NN_ROUND_FLOOR, -128, 127},  {36, NN_ROUND_NEAREST, 0, 127},  {38, NN_ROUND_TRUNC, -100, 99},
    {0, NN_ROUND_NEAREST, -128, 127}, {-3, NN_ROUND_FLOOR, -128, 127},
};

#include "sums.inc"
