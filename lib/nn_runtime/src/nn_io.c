/* Conversions at the borders of a model; see nn_io.h. */
#include "nn_io.h"

/* 2^exponent as float, exponent -126..127: the bits of IEEE 754 binary32. */
static float power_of_two(int32_t exponent) {
    union {
        uint32_t bits;
        float value;
    } number = {.bits = (uint32_t)(exponent + 127) << 23};
    return number.value;
}

/* floor(x + 1/2) clamped; the comparison comes first because a float beyond int32_t must not be converted. */
static int32_t round_clamped(float x, int32_t min, int32_t max) {
    if (!(x > (float)min)) {
        return min;
    }
    if (x >= (float)max) {
        return max;
    }
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest < -0.5f);
}

void nn_from_float_q8(const float *x, uint32_t count, int8_t frac, int32_t min, int32_t max, int8_t *y) {
    float scale = power_of_two(frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int8_t)round_clamped(x[i] * scale, min, max);
    }
}

void nn_from_float_q16(const float *x, uint32_t count, int8_t frac, int32_t min, int32_t max, int16_t *y) {
    float scale = power_of_two(frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int16_t)round_clamped(x[i] * scale, min, max);
    }
}

void nn_to_float_q8(const int8_t *x, uint32_t count, int8_t frac, float *y) {
    float scale = power_of_two(-frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)x[i] * scale;
    }
}

void nn_to_float_q16(const int16_t *x, uint32_t count, int8_t frac, float *y) {
    float scale = power_of_two(-frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)x[i] * scale;
    }
}

/* The next state as a signed number; two's complement without an implementation-defined conversion. */
static int32_t next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state < 0x80000000u ? (int32_t)*state : -(int32_t)(~*state) - 1;
}

uint32_t nn_random_q8(uint32_t state, uint32_t count, uint32_t bits, int8_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int8_t)(next(&state) >> (32u - bits));
    }
    return state;
}

uint32_t nn_random_q16(uint32_t state, uint32_t count, uint32_t bits, int16_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int16_t)(next(&state) >> (32u - bits));
    }
    return state;
}

uint32_t nn_random_f32(uint32_t state, uint32_t count, float *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)(next(&state) >> 8) * power_of_two(-21);
    }
    return state;
}
