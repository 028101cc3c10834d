/* The kernels of type q16_packed. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

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

static const int8_t simd_shifts[] = {12, 9, 0, 14, 13, 11, 31}; /* of the filters */
static const nn_requant simd_outs[] = {
    {12, NN_ROUND_FLOOR, -32768, 32767, NULL},
    {13, NN_ROUND_FLOOR, 0, 32767, NULL},
    {11, NN_ROUND_FLOOR, -100, 99, NULL},
    {12, NN_ROUND_FLOOR, 0, 32740, NULL},
    {0, NN_ROUND_FLOOR, -32768, 32767, NULL},
    {7, NN_ROUND_FLOOR, -32768, 32767, simd_shifts},
    {99, NN_ROUND_FLOOR, -100, 99, simd_shifts + 1},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 7u
#define SERVES(shape) ((shape)->groups == 1u)
#define HALVES(table, shape, halves)                                                                         \
    packed_halves(table, ((shape)->out_c + 1u) / 2u, halves, W_BITS, run % 2u), W_BITS

#define PAIRS(k) (((k) + 1u) / 2u)
#define PAIR_OF(i) ((i) / 2u)
#define HALF_OF(i) ((i) % 2u)
#define X_WORDS(k) PAIRS(k)

#define SIMD_BYTES(filters, k) (((filters) + 1u) / 2u * PAIRS(k) * 8u)
#define SIMD_AT(f, i, k) ((((f) / 2u * PAIRS(k) + PAIR_OF(i)) * 2u + (f) % 2u) * 2u + HALF_OF(i))
#define SCRATCH_WORDS(k, width) (((width) > 1u ? 18u : 3u) * PAIRS(k) + X_WORDS(k))
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_q16_packed_simd(x, HALVES(w, shape, 4u * PAIRS(k)), bias, shape, out, 1u, scratch, y)
#define TEST_SIMD test_nn_conv_q16_packed_simd
#include "simd.inc"

#define TEST_WINO test_nn_conv_q16_packed_wino
#define WINO_W() RANDOM_W()
#define WINO_MORE 14u
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_q16_packed_wino(x, HALVES(w, shape, 12u * pairs), bias, shape, out, groups, scratch, y)
#include "wino_q16.inc"

#undef TEST_WINO
#undef WINO_W
#undef CONV_WINO
#define TEST_WINO test_nn_conv_q16_packed_wino4
#define WINO_K_H 1
#define WINO_X() (T) random_signed(12)
#define WINO_W() RANDOM_W()
#define WINO_AT(f, tap, c, words)                                                                            \
    (((((f) / 2u * 2u * (words) + PAIR_OF(c)) * 2u + (f) % 2u) * 3u + (tap)) * 2u + HALF_OF(c))
#define CONV_WINO(x, w, bias, shape, out, groups, scratch, y)                                                \
    nn_conv_q16_packed_wino4(x, HALVES(w, shape, 24u * words), bias, shape, out, groups, scratch, y)
#include "wino.inc"
