/* Pseudo-random data, guarded buffers and the oracles' rounding. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "nn_runtime.h"
#include "unity_lite.h"

enum { BUFFER_WORDS = 360, SCRATCH_WORDS = 1008 }; /* of 8 bytes */

/* A kernel's argument: a part of its own array, at the beginning or at the end of it. A kernel that leaves
 * the part leaves the array once in the two runs of each case (the sanitizers see that) or spoils the filling
 * around it. */
typedef struct {
    uint64_t *words;
    uint32_t size; /* bytes of the array */
    uint32_t start, bytes;
} guarded;

extern guarded buffer_x, buffer_w, buffer_packed, buffer_simd, buffer_bias, buffer_y, buffer_scratch;
extern uint64_t expected_words[BUFFER_WORDS]; /* the oracle's output */

/* A part of `bytes` bytes at the beginning or the end, all filled with the guard pattern. */
void *guarded_part(guarded *buffer, uint32_t bytes, bool at_end);

/* Weights packed into `bits` bits each, every filter from a new byte, in buffer_packed; unused bits are 1. */
const uint8_t *packed_weights(const int16_t *w, uint32_t filters, uint32_t per_filter, uint32_t bits,
                              bool at_end);

/* The same for the kernels by SIMD and Winograd's algorithm: for each of `tables` pairs of filters, `halves`
 * halves of words as weight + 2^(bits - 1), from a new word; one word more behind them. */
const uint32_t *packed_halves(const int16_t *w, uint32_t tables, uint32_t halves, uint32_t bits, bool at_end);

/* The filling around the part is as it was. */
bool guarded_intact(const guarded *buffer);

/* Pseudo-random integer in -2^(bits-1) .. 2^(bits-1) - 1. */
int32_t random_signed(uint32_t bits);

/* clamp(round(acc * 2^-shift / count), min, max) by plain division; |acc| * 2^-shift and count * 2^shift <
 * 2^62. */
int32_t oracle_round(int64_t acc, int64_t count, const nn_requant *requant);

/* The same with the shift of filter f. */
int32_t oracle_round_filter(int64_t acc, const nn_requant *requant, uint32_t f);

/* clamp(zero_point + acc * multipliers[f] * 2^(shifts[f] - 31)) with the roundings of the affine kernels, by
 * plain division; wide: those of 64-bit accumulators. */
typedef enum { TWICE, WIDE, ONCE } arithmetic; /* SPEC.md, section 9: multiply, wide, once */
int32_t oracle_affine(int64_t acc, const nn_requant_affine *requant, uint32_t f, arithmetic how);

float oracle_clamp(float value, const nn_range_f32 *range);

/* 2^exponent, exponent -126..127. */
float power_of_two(int32_t exponent);

/* Softmax of a row in place with another exponential than the kernels have; relative error below 1e-4. */
void oracle_softmax(float *row, uint32_t count);

/* The bits of a float, for exact comparison. */
int32_t float_bits(float value);

#endif
