/* The kernels of type q8_packed. */
#include "support.h"
#include "tests.h"
#include <stddef.h>

#define T int8_t
#define W int16_t
#define ACC int32_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q8_packed
#define TEST(op) test_nn_##op##_q8_packed
#define W_BITS (2u + number % 15u)
#define RANDOM_X() (T) random_signed(8)
#define RANDOM_W() (W) random_signed(W_BITS)
#define WEIGHTS(w, filters, per_filter) packed_weights(w, filters, per_filter, W_BITS, run % 2u), W_BITS
#define RANDOM_BIAS() random_signed(18)
#define FINISH_FILTER(acc, out, f) (T) oracle_round_filter(acc, out, f)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 6u
#define BITS(value) (value)

static const int8_t shifts[] = {10, 7, 0, 12, -1, 9}; /* of the filters */
static const nn_requant outs[OUT_COUNT] = {
    {10, NN_ROUND_FLOOR, -128, 127, NULL}, {11, NN_ROUND_NEAREST, 0, 127, NULL},
    {9, NN_ROUND_TRUNC, -100, 99, NULL},   {0, NN_ROUND_NEAREST, -128, 127, NULL},
    {-3, NN_ROUND_FLOOR, -128, 127, NULL}, {7, NN_ROUND_NEAREST, -128, 127, shifts},
};

#include "sums.inc"
