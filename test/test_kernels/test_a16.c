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

static const int32_t multipliers[] = {0x40000000, 0x7FFFFFFF, 0x5A827999, 0x60000001, 0x20000000, 0x7FFF1234};
static const int8_t shifts[2][6] = {{-14, -15, -20, -31, 7, -16}, {-13, 0, -18, -17, -15, -14}};
static const nn_requant_affine outs[OUT_COUNT] = {
    {multipliers, shifts[0], 0, INT16_MIN, INT16_MAX},
    {multipliers, shifts[1], 0, 0, INT16_MAX - 5},
};

#include "sums.inc"

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
