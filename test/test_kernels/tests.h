/* What the test files share: one test a kernel of nn_kernels.def, named test_<kernel>, and the shapes to go
 * through. A kernel without a test does not link; a test without a kernel does not compile. */
#ifndef TESTS_H
#define TESTS_H

#include "nn_runtime.h"

#define NN_KERNEL(op, type, function, in_place) void test_##function(void);
#include "../nn_kernels.def"
#undef NN_KERNEL

void test_rounding_of_8_bits(void);
void test_rounding_of_32_bits(void);
void test_rounding_of_64_bits(void);
void test_rounding_of_quotients(void);
void test_exp_f32(void);
void test_crc32(void);
void test_float_to_fixed_and_back(void);

enum { CONV_COUNT = 26, POOL_COUNT = 10 };
extern const nn_conv_shape conv_shapes[CONV_COUNT];

/* Shapes for Winograd's algorithm: widths with and without a rest, channels, filters, padding on both sides.
 */
enum { WINO_COUNT = 8 };
nn_conv_shape wino_shape(uint32_t number);
extern const nn_pool_shape pool_shapes[POOL_COUNT];
extern const uint8_t add_lefts[4][2]; /* left_a, left_b */

#endif
