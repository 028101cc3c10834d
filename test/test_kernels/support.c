#include "support.h"
#include <string.h>

#define GUARD 0xA5u

guarded buffer_x, buffer_w, buffer_bias, buffer_y, buffer_simd, buffer_scratch;
uint64_t expected_words[BUFFER_WORDS];

void *guarded_part(guarded *buffer, uint32_t bytes, bool at_end) {
    uint8_t *all = (uint8_t *)buffer->words;
    TEST_CHECK(bytes <= BUFFER_BYTES);
    memset(all, GUARD, BUFFER_BYTES);
    buffer->start = at_end ? BUFFER_BYTES - bytes : 0u;
    buffer->bytes = bytes;
    return all + buffer->start;
}

bool guarded_intact(const guarded *buffer) {
    const uint8_t *all = (const uint8_t *)buffer->words;
    for (uint32_t i = 0; i < BUFFER_BYTES; i++) {
        if ((i < buffer->start || i >= buffer->start + buffer->bytes) && all[i] != GUARD) {
            return false;
        }
    }
    return true;
}

int32_t random_signed(uint32_t bits) {
    static uint32_t state = 1u;
    state = state * 1664525u + 1013904223u;
    return (int32_t)state >> (32u - bits);
}

int32_t oracle_round(int64_t acc, int64_t count, const nn_requant *requant) {
    int64_t dividend = acc;
    int64_t divisor = count;
    for (int32_t i = 0; i < requant->shift; i++) {
        divisor *= 2;
    }
    for (int32_t i = 0; i > requant->shift; i--) {
        dividend *= 2;
    }
    int64_t rounded = dividend / divisor; /* toward zero */
    int64_t rest = dividend % divisor;
    if (requant->rounding != NN_ROUND_TRUNC && rest < 0) {
        rounded--;
        rest += divisor;
    }
    if (requant->rounding == NN_ROUND_NEAREST && rest >= divisor - rest) {
        rounded++;
    }
    if (rounded < requant->min) {
        return requant->min;
    }
    return rounded > requant->max ? requant->max : (int32_t)rounded;
}

float oracle_clamp(float value, const nn_range_f32 *range) {
    if (value < range->min) {
        return range->min;
    }
    return value > range->max ? range->max : value;
}

int32_t float_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float power_of_two(int32_t exponent) {
    float power = 1.0f;
    for (; exponent > 0; exponent--) {
        power *= 2.0f;
    }
    for (; exponent < 0; exponent++) {
        power *= 0.5f;
    }
    return power;
}

/* e^x for x <= 0 as (e^(x/256))^256: three terms of the series are enough so near to 0. */
static float oracle_exp(float x) {
    if (x < -80.0f) {
        return 0.0f;
    }
    const float part = x * (1.0f / 256.0f);
    float power = 1.0f + part * (1.0f + part * (0.5f + part * (1.0f / 6.0f)));
    for (uint32_t i = 0; i < 8u; i++) {
        power *= power;
    }
    return power;
}

void oracle_softmax(float *row, uint32_t count) {
    float max = row[0];
    float sum = 0.0f;
    for (uint32_t i = 1; i < count; i++) {
        max = row[i] > max ? row[i] : max;
    }
    for (uint32_t i = 0; i < count; i++) {
        row[i] = oracle_exp(row[i] - max);
        sum += row[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        row[i] /= sum;
    }
}
