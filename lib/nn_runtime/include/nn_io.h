/* nn_io: what surrounds the layers of a generated model: real numbers to and from stored integers, and the
 * pseudo-random input of the self-test. `count` elements each; T = q8 | q16 | a8 | a16 | f32.
 */
#ifndef NN_IO_H
#define NN_IO_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = clamp(floor(x * 2^frac + 1/2), min, max); NaN gives min. frac -31..31. */
void nn_from_float_q8(const float *x, uint32_t count, int8_t frac, int32_t min, int32_t max, int8_t *y);
void nn_from_float_q16(const float *x, uint32_t count, int8_t frac, int32_t min, int32_t max, int16_t *y);

/* y = x * 2^-frac, exact */
void nn_to_float_q8(const int8_t *x, uint32_t count, int8_t frac, float *y);
void nn_to_float_q16(const int16_t *x, uint32_t count, int8_t frac, float *y);

/* y = clamp(round(x / scale) + zero, min, max) of the type: the quotient is rounded to float, then to an
 * integer, halves away from zero; NaN gives min. */
void nn_from_float_a8(const float *x, uint32_t count, float scale, int32_t zero, int8_t *y);
void nn_from_float_a16(const float *x, uint32_t count, float scale, int32_t zero, int16_t *y);

/* y = (x - zero) * scale, rounded to float */
void nn_to_float_a8(const int8_t *x, uint32_t count, float scale, int32_t zero, float *y);
void nn_to_float_a16(const int16_t *x, uint32_t count, float scale, int32_t zero, float *y);

/* Pseudo-random values from the generator state -> state * 1664525 + 1013904223; returns the last state.
 * q8, q16: the top `bits` bits of the state, signed. f32: the top 24 bits as a number in [-4, 4). */
uint32_t nn_random_q8(uint32_t state, uint32_t count, uint32_t bits, int8_t *y);
uint32_t nn_random_q16(uint32_t state, uint32_t count, uint32_t bits, int16_t *y);
uint32_t nn_random_f32(uint32_t state, uint32_t count, float *y);

#ifdef __cplusplus
}
#endif

#endif
