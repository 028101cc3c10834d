/* The kernels of type a16. */
#include "support.h"
#include "tests.h"
#include <stddef.h>
#include <string.h>

#define T int16_t
#define W int8_t
#define ACC int64_t
#define OUT nn_requant_affine
#define NAME(op) nn_##op##_a16
#define TEST(op) test_nn_##op##_a16
#define RANDOM_X() (T) random_signed(16)
#define RANDOM_W() (W) random_signed(8)
#define WEIGHTS(w, filters, per_filter) w
#define RANDOM_BIAS() random_signed(32) * (INT64_C(1) << 8)
#define FINISH_FILTER(acc, out, f) (T) oracle_affine(acc, out, f, WIDE)
#define FINISH_DENSE(acc, out, f) (T) oracle_affine(acc, out, f, ONCE)
#define X_ZERO(shape) (shape)->x_zero
#define OUTS outs
#define OUT_COUNT 2u
#define BITS(value) (value)

static const int32_t multipliers[] = {0x40000000, 0x7FFFFFFF, 0x5A827999, 0x60000001, 0x20000000,
                                      0x7FFF1234, 0x50000000, 0x7654321F, 0x40000001};
static const int8_t shifts[2][9] = {{-14, -15, -20, -31, 7, -16, -15, -17, -14},
                                    {-13, 0, -18, -17, -15, -14, -15, -17, -14}};
static const nn_requant_affine outs[OUT_COUNT] = {
    {multipliers, shifts[0], 0, INT16_MIN, INT16_MAX},
    {multipliers, shifts[1], 0, 0, INT16_MAX - 5},
};

#include "sums.inc"

/* The biases of the SIMD kernels, 32 bits. */
static const int32_t *narrow(const int64_t *bias, uint32_t count) {
    static int32_t narrowed[16];
    for (uint32_t i = 0; i < count; i++) {
        narrowed[i] = (int32_t)bias[i];
    }
    return narrowed;
}

#undef RANDOM_BIAS
#define RANDOM_BIAS() random_signed(26)
#define SIMD_BYTES(filters, k) (((filters) + 1u) / 2u * (((k) + 1u) / 2u) * 4u)
#define SIMD_AT(f, i, k) (((f) / 2u * (((k) + 1u) / 2u) + (i) / 2u) * 4u + (i) % 2u * 2u + (f) % 2u)
#define SCRATCH_WORDS(k, width) ((width) * (((k) + 1u) / 2u) + ((k) + 1u) / 2u)
#define SERVES(shape) true
#define CONV_SIMD(x, w, bias, shape, out, scratch, y)                                                        \
    nn_conv_a16_simd(x, (const uint32_t *)(const void *)(w), narrow(bias, (shape)->out_c), shape, out,       \
                     scratch, y)
static const int8_t simd_shifts[] = {-14, -15, -17, -12, -1, -16, -15, -17, -14};
static const nn_requant_affine simd_outs[] = {
    {multipliers, simd_shifts, 0, INT16_MIN, INT16_MAX},
    {multipliers, simd_shifts, 0, 0, INT16_MAX},
    {multipliers, simd_shifts, 0, -5, INT16_MAX - 5},
};
#define SIMD_OUTS simd_outs
#define SIMD_OUT_COUNT 3u
#define TEST_SIMD test_nn_conv_a16_simd
#include "simd.inc"

#define TEST_DEPTHWISE test_nn_conv_a16_depthwise
#define CONV_DEPTHWISE(x, w, bias, shape, out, down, scratch, y)                                             \
    nn_conv_a16_depthwise(x, w, narrow(bias, (shape)->out_c), shape, out, down, scratch, y)
#define DEPTHWISE_TAPS {0, -1, 1, 0}
#define LANES 2u
#include "depthwise.inc"

#define TEST_DENSE_SIMD test_nn_dense_a16_simd
#define DENSE_SIMD nn_dense_a16_simd
#define NARROW narrow
#include "dense_simd.inc"

#define LOWEST INT16_MIN
#define HIGHEST INT16_MAX
#define ZERO(n) 0 * (int32_t)(n)
#define LEFT 15
#include "affine.inc"

/* Bits, since they are defined; the values are those of microai.codegen.affine_math.softmax_a16. */
void TEST(softmax)(void) {
    static const T known_x[7] = {-32768, -3000, 0, 4000, 4001, 9999, -12345};
    static const T known_y[2][7] = {{159, 3124, 4217, 6291, 6291, 11460, 1227}, {2, 2, 2, 81, 81, 32599, 2}};
    static const int32_t scales[2][2] = {{1407353409, 0}, {1759191761, 3}}; /* 0.0001, 0.001 */
    for (uint32_t run = 0; run < 2u; run++) {
        T *x = guarded_part(&buffer_x, 2u * sizeof known_x, run % 2u);
        memcpy(x, known_x, sizeof known_x);
        memcpy(x + 7, known_x, sizeof known_x);
        NAME(softmax)(x, 2u, 7u, scales[run][0], scales[run][1], x); /* in place */
        for (uint32_t i = 0; i < 14u; i++) {
            TEST_EQUAL(x[i], known_y[run][i % 7u], run, i);
        }
        TEST_CHECK(guarded_intact(&buffer_x));
    }
}
