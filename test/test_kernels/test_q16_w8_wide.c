/* The kernels of type q16_w8_wide. */
#include "support.h"
#include "tests.h"
#include <stddef.h>

#define T int16_t
#define W int8_t
#define ACC int64_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q16_w8_wide
#define TEST(op) test_nn_##op##_q16_w8_wide
#define RANDOM_X() (T) random_signed(16)
#define RANDOM_W() (W) random_signed(8)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() random_signed(32) * (INT64_C(1) << 8)
#define FINISH_FILTER(acc, out, f) (T) oracle_round_filter(acc, out, f)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 6u
#define BITS(value) (value)

static const int8_t shifts[] = {24, 21, 0, 26, -1, 23}; /* of the filters */
static const nn_requant outs[OUT_COUNT] = {
    {24, NN_ROUND_FLOOR, -32768, 32767, NULL}, {25, NN_ROUND_NEAREST, 0, 32767, NULL},
    {23, NN_ROUND_TRUNC, -256, 255, NULL},     {0, NN_ROUND_NEAREST, -32768, 32767, NULL},
    {-3, NN_ROUND_FLOOR, -32768, 32767, NULL}, {7, NN_ROUND_NEAREST, -32768, 32767, shifts},
};

#include "sums.inc"
