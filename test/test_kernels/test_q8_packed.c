/* The kernels of type q8_packed. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

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

static const int8_t simd_shifts[] = {10, 7, 0, 12, 11, 9, 31}; /* of the filters */
static const nn_requant simd_outs[] = {
    {10, NN_ROUND_FLOOR, -128, 127, NULL},
    {11, NN_ROUND_FLOOR, 0, 127, NULL},
    {9, NN_ROUND_FLOOR, -100, 99, NULL},
    {10, NN_ROUND_FLOOR, 0, 100, NULL},
    {0, NN_ROUND_FLOOR, -128, 127, NULL},
    {7, NN_ROUND_FLOOR, -128, 127, simd_shifts},
    {99, NN_ROUND_FLOOR, -100, 99, simd_shifts + 1},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 7u
#define SERVES(shape) ((shape)->groups == 1u)
#define HALVES(table, shape, halves)                                                                         \
    packed_halves(table, ((shape)->out_c + 1u) / 2u, halves, W_BITS, run % 2u), W_BITS

/* Elements of x in the order 0, 2, 1, 3 of each four. */
#define PAIRS(k) (((k) + 3u) / 4u * 2u)
#define PAIR_OF(i) ((i) / 4u * 2u + (i) % 2u)
#define HALF_OF(i) ((i) % 4u / 2u)
#define X_WORDS(k) (((k) + 3u) / 4u)

#define SIMD_BYTES(filters, k) (((filters) + 1u) / 2u * PAIRS(k) * 8u)
#define SIMD_AT(f, i, k) ((((f) / 2u * PAIRS(k) + PAIR_OF(i)) * 2u + (f) % 2u) * 2u + HALF_OF(i))
#define SCRATCH_WORDS(k, width) (((width) > 1u ? 18u : 3u) * PAIRS(k) + X_WORDS(k))
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_q8_packed_simd(x, HALVES(w, shape, 4u * PAIRS(k)), bias, shape, out, 1u, scratch, y)
#define TEST_SIMD test_nn_conv_q8_packed_simd
#include "simd.inc"

#define TEST_WINO test_nn_conv_q8_packed_wino
#define WINO_K_H 1
#define WINO_X() RANDOM_X()
#define WINO_W() (W) random_signed(W_BITS < 12u ? W_BITS : 12u)
#define WINO_AT(f, tap, c, words)                                                                            \
    (((((f) / 2u * 2u * (words) + PAIR_OF(c)) * 2u + (f) % 2u) * 3u + (tap)) * 2u + HALF_OF(c))
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_q8_packed_wino(x, HALVES(w, shape, 24u * words), bias, shape, out, groups, scratch, y)
#include "wino.inc"
