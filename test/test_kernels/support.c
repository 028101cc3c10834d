#include "support.h"
#include <stddef.h>
#include <string.h>

#define GUARD 0xA5u

#define BUFFER(name, count)                                                                                  \
    static uint64_t name##_words[count];                                                                     \
    guarded name = {name##_words, 8u * (count), 0u, 0u};
BUFFER(buffer_x, BUFFER_WORDS)
BUFFER(buffer_w, BUFFER_WORDS)
BUFFER(buffer_packed, BUFFER_WORDS)
BUFFER(buffer_simd, BUFFER_WORDS)
BUFFER(buffer_bias, BUFFER_WORDS)
BUFFER(buffer_y, BUFFER_WORDS)
BUFFER(buffer_scratch, SCRATCH_WORDS)
uint64_t expected_words[BUFFER_WORDS];

void *guarded_part(guarded *buffer, uint32_t bytes, bool at_end) {
    uint8_t *all = (uint8_t *)buffer->words;
    TEST_CHECK(bytes <= buffer->size);
    memset(all, GUARD, buffer->size);
    buffer->start = at_end ? buffer->size - bytes : 0u;
    buffer->bytes = bytes;
    return all + buffer->start;
}

bool guarded_intact(const guarded *buffer) {
    const uint8_t *all = (const uint8_t *)buffer->words;
    for (uint32_t i = 0; i < buffer->size; i++) {
        if ((i < buffer->start || i >= buffer->start + buffer->bytes) && all[i] != GUARD) {
            return false;
        }
    }
    return true;
}

const uint8_t *packed_weights(const int16_t *w, uint32_t filters, uint32_t per_filter, uint32_t bits,
                              bool at_end) {
    const uint32_t bytes = (per_filter * bits + 7u) / 8u;
    uint8_t *packed = guarded_part(&buffer_packed, filters * bytes, at_end);
    memset(packed, 0xFF, filters * bytes);
    for (uint32_t f = 0; f < filters; f++) {
        for (uint32_t i = 0; i < per_filter * bits; i++) {
            const uint32_t weight = (uint16_t)w[f * per_filter + i / bits];
            if ((weight >> i % bits & 1u) == 0u) {
                packed[f * bytes + i / 8u] &= (uint8_t)~(1u << i % 8u);
            }
        }
    }
    return packed;
}

const uint32_t *packed_halves(const int16_t *w, uint32_t tables, uint32_t halves, uint32_t bits,
                              bool at_end) {
    const uint32_t words = (halves * bits + 31u) / 32u;
    const uint32_t bytes = 4u * (tables * words + 1u);
    uint32_t *packed = guarded_part(&buffer_packed, bytes, at_end);
    memset(packed, 0xFF, bytes);
    for (uint32_t table = 0; table < tables; table++) {
        for (uint32_t i = 0; i < halves * bits; i++) {
            const uint32_t half = (uint32_t)(w[table * halves + i / bits] + (1 << (bits - 1u)));
            if ((half >> i % bits & 1u) == 0u) {
                packed[table * words + i / 32u] &= ~((uint32_t)1 << i % 32u);
            }
        }
    }
    return packed;
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

int32_t oracle_round_filter(int64_t acc, const nn_requant *requant, uint32_t f) {
    nn_requant own = *requant;
    if (own.shifts != NULL) {
        own.shift = own.shifts[f];
    }
    return oracle_round(acc, 1, &own);
}

/* value / 2^exponent, halves away from zero */
static int64_t halve_away(int64_t value, int32_t exponent) {
    const int64_t divisor = INT64_C(1) << exponent;
    return value < 0 ? -((-value + divisor / 2) / divisor) : (value + divisor / 2) / divisor;
}

/* acc * multiplier * 2^-right, halves up, by adding and shifting bit by bit. */
static int64_t multiply_bits(int64_t acc, int32_t multiplier, int32_t right) {
    int64_t y = 0;
    bool half = false;
    for (int32_t bit = 0; bit < 31 || bit < right; bit++) {
        if (bit < 31 && (multiplier >> bit & 1)) {
            y += acc;
        }
        if (bit < right) {
            half = y & 1;
            y = (y - half) / 2;
        } else {
            acc *= 2;
        }
    }
    return y + half;
}

int32_t oracle_affine(int64_t acc, const nn_requant_affine *requant, uint32_t f, arithmetic how) {
    const int32_t shift = requant->shifts[f];
    int64_t multiplier = requant->multipliers[f];
    nn_requant half_up = {31, NN_ROUND_NEAREST, INT32_MIN, INT32_MAX, NULL};
    int64_t y;
    if (how == ONCE) {
        y = multiply_bits(acc, requant->multipliers[f], 31 - shift);
    } else if (how == WIDE) {
        multiplier = (multiplier + 32768) / 65536;
        half_up.shift = (int8_t)(15 - shift);
        y = oracle_round(acc * (multiplier < 32767 ? multiplier : 32767), 1, &half_up);
    } else {
        if (shift > 0) {
            acc *= INT64_C(1) << shift;
            acc = acc < INT32_MIN ? INT32_MIN : acc > INT32_MAX ? INT32_MAX : acc;
        }
        y = oracle_round(acc * multiplier, 1, &half_up);
        y = shift < 0 ? halve_away(y, -shift) : y;
    }
    y += requant->zero_point;
    return y < requant->min ? requant->min : y > requant->max ? requant->max : (int32_t)y;
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
