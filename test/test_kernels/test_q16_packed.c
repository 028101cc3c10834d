/* The kernels of type q16_packed. */
#include "support.h"
#include "tests.h"
#include <stddef.h>

#define T int16_t
#define W int16_t
#define ACC int32_t
#define OUT nn_requant
#define NAME(op) nn_##op##_q16_packed
#define TEST(op) test_nn_##op##_q16_packed
#define W_BITS (2u + number % 9u) /* more could overflow the accumulator */
#define RANDOM_X() (T) random_signed(16)
#define RANDOM_W() (W) random_signed(W_BITS)
#define WEIGHTS(w, filters, per_filter) packed_weights(w, filters, per_filter, W_BITS, run % 2u), W_BITS
#define RANDOM_BIAS() random_signed(22)
#define FINISH_FILTER(acc, out, f) (T) oracle_round_filter(acc, out, f)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 6u
#define BITS(value) (value)

static const int8_t shifts[] = {12, 9, 0, 14, -1, 11}; /* of the filters */
static const nn_requant outs[OUT_COUNT] = {
    {12, NN_ROUND_FLOOR, -32768, 32767, NULL}, {13, NN_ROUND_NEAREST, 0, 32767, NULL},
    {11, NN_ROUND_TRUNC, -256, 255, NULL},     {0, NN_ROUND_NEAREST, -32768, 32767, NULL},
    {-3, NN_ROUND_FLOOR, -32768, 32767, NULL}, {7, NN_ROUND_NEAREST, -32768, 32767, shifts},
};

#include "sums.inc"
