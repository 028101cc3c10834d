/* Conversions at the borders of a model; see nn_io.h. */
#include "nn_io.h"
#include "nn_requant.h"

void nn_from_float_q8(const float *x, uint32_t count, int8_t frac, int32_t min, int32_t max, int8_t *y) {
    float scale = nn_exp2i_f32(frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int8_t)nn_round_f32(x[i] * scale, min, max);
    }
}

void nn_from_float_q16(const float *x, uint32_t count, int8_t frac, int32_t min, int32_t max, int16_t *y) {
    float scale = nn_exp2i_f32(frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int16_t)nn_round_f32(x[i] * scale, min, max);
    }
}

void nn_to_float_q8(const int8_t *x, uint32_t count, int8_t frac, float *y) {
    float scale = nn_exp2i_f32(-frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)x[i] * scale;
    }
}

void nn_to_float_q16(const int16_t *x, uint32_t count, int8_t frac, float *y) {
    float scale = nn_exp2i_f32(-frac);
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)x[i] * scale;
    }
}

void nn_from_float_a8(const float *x, uint32_t count, float scale, int32_t zero, int8_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int8_t)(nn_round_away_f32(x[i] / scale, INT8_MIN - zero, INT8_MAX - zero) + zero);
    }
}

void nn_from_float_a16(const float *x, uint32_t count, float scale, int32_t zero, int16_t *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (int16_t)(nn_round_away_f32(x[i] / scale, INT16_MIN - zero, INT16_MAX - zero) + zero);
    }
}

void nn_to_float_a8(const int8_t *x, uint32_t count, float scale, int32_t zero, float *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)(x[i] - zero) * scale;
    }
}

void nn_to_float_a16(const int16_t *x, uint32_t count, float scale, int32_t zero, float *y) {
    for (uint32_t i = 0; i < count; i++) {
        y[i] = (float)(x[i] - zero) * scale;
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
        y[i] = (float)(next(&state) >> 8) * nn_exp2i_f32(-21);
    }
    return state;
}
