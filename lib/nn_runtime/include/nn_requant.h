/* Every rounding and saturation of nn_runtime. SPEC.md defines the results; tools/codegen/requant.py computes
 * the same numbers with numpy. All functions are exact for their whole argument range: nothing overflows on
 * the way. */
#ifndef NN_REQUANT_H
#define NN_REQUANT_H

#include "nn_runtime.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C99 leaves >> of a negative number to the compiler; floor is what we need. */
typedef char nn_right_shift_must_be_arithmetic[(-1 >> 1) == -1 ? 1 : -1];

/* The shift of a filter of a convolution or dense layer. */
static inline int32_t nn_filter_shift(const nn_requant *requant, uint32_t filter) {
    return requant->shifts != NULL ? requant->shifts[filter] : requant->shift;
}

/* clamp(round(acc * 2^-shift), min, max), shift -31..31; requant gives the rest. */
static inline int32_t nn_scale_i32(int32_t acc, int32_t shift, const nn_requant *requant) {
    const int32_t min = requant->min;
    const int32_t max = requant->max;
    if (shift > 0) {
        const int32_t below = acc >> shift; /* floor; the bits shifted out are what rounding looks at */
        if (requant->rounding == NN_ROUND_NEAREST) {
            acc = below + ((acc >> (shift - 1)) & 1); /* their highest bit: a half or more goes up */
        } else if (requant->rounding == NN_ROUND_TRUNC && acc < 0) {
            acc = below + (((uint32_t)acc << (32 - shift)) != 0u); /* any bit: up, toward zero */
        } else {
            acc = below;
        }
    } else if (shift < 0) {
        /* acc * 2^n > max when acc > floor(max / 2^n); acc * 2^n <= min when acc <= floor(min / 2^n). */
        if (acc > (max >> -shift)) {
            return max;
        }
        if (acc <= (min >> -shift)) {
            return min;
        }
        return (int32_t)((uint32_t)acc << -shift);
    }
    return acc < min ? min : acc > max ? max : acc;
}

/* The same for a 64-bit accumulator, shift -31..62. */
static inline int32_t nn_scale_i64(int64_t acc, int32_t shift, const nn_requant *requant) {
    if (shift > 0) {
        const int64_t below = acc >> shift;
        if (requant->rounding == NN_ROUND_NEAREST) {
            acc = below + ((acc >> (shift - 1)) & 1);
        } else if (requant->rounding == NN_ROUND_TRUNC && acc < 0) {
            acc = below + (((uint64_t)acc << (64 - shift)) != 0u);
        } else {
            acc = below;
        }
    } else if (shift < 0) {
        /* What does not fit 32 bits lies beyond min or max already and stays there when multiplied. */
        acc = acc < INT32_MIN ? INT32_MIN : acc > INT32_MAX ? INT32_MAX : acc;
        acc *= (int64_t)1 << -shift;
    }
    return acc < requant->min ? requant->min : acc > requant->max ? requant->max : (int32_t)acc;
}

/* Both with the shift that all elements share. */
static inline int32_t nn_requant_i32(int32_t acc, const nn_requant *requant) {
    return nn_scale_i32(acc, requant->shift, requant);
}

static inline int32_t nn_requant_i64(int64_t acc, const nn_requant *requant) {
    return nn_scale_i64(acc, requant->shift, requant);
}

/* clamp(round(sum * 2^-shift / count), min, max) with one rounding of the exact quotient; shift -31..31,
 * count 1..2^30. It needs only 32-bit division: floor(sum * 2^-shift / count) = floor(floor(sum * 2^-shift)
 * / count). */
static inline int32_t nn_divide_i32(int32_t sum, int32_t count, const nn_requant *requant) {
    int32_t shift = requant->shift;
    int32_t whole = sum; /* floor(sum * 2^-shift) for shift > 0 */
    int32_t half = 0;    /* what was shifted out is >= 1/2 */
    uint32_t lost = 0u;  /* what was shifted out is not zero */
    if (shift > 0) {
        whole = sum >> shift;
        half = (sum >> (shift - 1)) & 1;
        lost = (uint32_t)sum << (32 - shift);
    }
    int64_t quotient = whole / count;
    int32_t rest = whole % count;
    if (rest < 0) { /* C divides toward zero; floor leaves 0 <= rest < count */
        rest += count;
        quotient--;
    }
    for (; shift < 0; shift++) { /* one more quotient bit each: long division, at most 31 + 31 bits */
        rest *= 2;
        quotient *= 2;
        if (rest >= count) {
            rest -= count;
            quotient++;
        }
    }
    /* The fraction above `quotient` is (rest + what was shifted out) / count. */
    if (requant->rounding == NN_ROUND_NEAREST) {
        quotient += 2 * rest + half >= count;
    } else if (requant->rounding == NN_ROUND_TRUNC && quotient < 0) {
        quotient += rest != 0 || lost != 0u;
    }
    if (quotient < requant->min) {
        return requant->min;
    }
    return quotient > requant->max ? requant->max : (int32_t)quotient;
}

/* ---- Affine integers: the arithmetic of TensorFlow Lite's reference kernels; SPEC.md, section 9 ---- */

/* a * b * 2^-31, halves up; not for a = b = INT32_MIN. */
static inline int32_t nn_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x * 2^-exponent, halves away from zero; exponent 0..31. */
static inline int32_t nn_divide_pot(int32_t x, int32_t exponent) {
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1u);
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0));
}

/* x * 2^shift, saturating; shift 0..31. */
static inline int32_t nn_shift_left(int32_t x, int32_t shift) {
    const int64_t shifted = (int64_t)x * ((int64_t)1 << shift);
    return shifted < INT32_MIN ? INT32_MIN : shifted > INT32_MAX ? INT32_MAX : (int32_t)shifted;
}

/* x * multiplier * 2^(shift - 31); multiplier >= 0, shift -31..30. A positive shift comes first and
 * saturates, a negative one comes last and rounds again. */
static inline int32_t nn_multiply_i32(int32_t x, int32_t multiplier, int32_t shift) {
    if (shift > 0) {
        return nn_high_mul(nn_shift_left(x, shift), multiplier);
    }
    return nn_divide_pot(nn_high_mul(x, multiplier), -shift);
}

/* The same for |x| < 2^47 and shift -31..7: the multiplier is rounded to 15 bits, then one rounding, halves
 * up. */
static inline int64_t nn_multiply_i64(int64_t x, int32_t multiplier, int32_t shift) {
    const int32_t reduced = multiplier < 0x7FFF0000 ? (multiplier + 0x8000) >> 16 : 0x7FFF;
    const int32_t total = 15 - shift;
    return (x * reduced + ((int64_t)1 << (total - 1))) >> total;
}

/* The same with all bits of the multiplier and one rounding, halves up: |x| < 2^47 and shift -31..7, or
 * |x| < 2^31 and shift -31..30. */
static inline int64_t nn_multiply_once(int64_t x, int32_t multiplier, int32_t shift) {
    const int32_t right = 31 - shift;
    const int64_t high = (x >> 31) * multiplier; /* x * multiplier = high * 2^31 + low - half */
    const int64_t low = (x & INT32_MAX) * multiplier + ((int64_t)1 << (right - 1));
    return right >= 31 ? (high + (low >> 31)) >> (right - 31)
                       : high * ((int64_t)1 << (31 - right)) + (low >> right);
}

/* clamp(y + zero, min, max); min, max and zero inside 16 bits. */
static inline int32_t nn_offset(int64_t y, int32_t zero, int32_t min, int32_t max) {
    return y < min - zero ? min : y > max - zero ? max : (int32_t)y + zero;
}

/* Output of filter f. */
static inline int32_t nn_affine_i32(int32_t acc, const nn_requant_affine *requant, uint32_t f) {
    const int32_t y = nn_multiply_i32(acc, requant->multipliers[f], requant->shifts[f]);
    return nn_offset(y, requant->zero_point, requant->min, requant->max);
}

static inline int32_t nn_affine_i64(int64_t acc, const nn_requant_affine *requant, uint32_t f) {
    const int64_t y = nn_multiply_i64(acc, requant->multipliers[f], requant->shifts[f]);
    return nn_offset(y, requant->zero_point, requant->min, requant->max);
}

static inline int32_t nn_affine_once(int64_t acc, const nn_requant_affine *requant, uint32_t f) {
    const int64_t y = nn_multiply_once(acc, requant->multipliers[f], requant->shifts[f]);
    return nn_offset(y, requant->zero_point, requant->min, requant->max);
}

/* What stands in front of the last shift of fast kernels, `right` = 1..22: with v = 2 x * multiplier * 2^-32
 * to nearest, halves up, |v| < 2^30, nn_multiply_i32(x, multiplier, -right) + zero is (v + this - (v < 0)) >>
 * right. */
static inline int32_t nn_affine_offset(int32_t zero, int32_t right) {
    return (2 * zero + 1) * (1 << (right - 1));
}

/* The multiplier m of fast kernels for 32-bit x: nn_multiply_i64(x, multiplier, shift) is x * m * 2^-32 to
 * nearest, halves up; shift -17..-1. */
static inline int32_t nn_affine_multiplier_16(int32_t multiplier, int32_t shift) {
    const int32_t reduced = multiplier < 0x7FFF0000 ? (multiplier + 0x8000) >> 16 : 0x7FFF;
    return reduced * (1 << (17 + shift));
}

/* clamp(sum / count, min, max), halves away from zero; |sum| + count / 2 < 2^31. */
static inline int32_t nn_divide_away(int32_t sum, int32_t count, int32_t min, int32_t max) {
    const int32_t y = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return y < min ? min : y > max ? max : y;
}

/* ---- Float ---- */

/* Saturation without scaling: the float kernels' activation. NaN passes. */
static inline float nn_clamp_f32(float value, const nn_range_f32 *range) {
    return value < range->min ? range->min : value > range->max ? range->max : value;
}

/* 2^exponent as a float, exact; exponent -126..127. */
static inline float nn_exp2i_f32(int32_t exponent) {
    const union {
        uint32_t bits;
        float value;
    } power = {(uint32_t)(exponent + 127) << 23};
    return power.value;
}

/* clamp(floor(x + 1/2), min, max) for -2^24 <= min <= max <= 2^24; NaN gives min. The comparisons come first
 * because a float beyond int32_t must not be converted. */
static inline int32_t nn_round_f32(float x, int32_t min, int32_t max) {
    if (!(x > (float)min)) {
        return min;
    }
    if (x >= (float)max) {
        return max;
    }
    const int32_t whole = (int32_t)x;    /* toward zero */
    const float rest = x - (float)whole; /* exact */
    return whole + (rest >= 0.5f) - (rest < -0.5f);
}

/* The same with halves away from zero. */
static inline int32_t nn_round_away_f32(float x, int32_t min, int32_t max) {
    return x < 0.0f ? -nn_round_f32(-x, -max, -min) : nn_round_f32(x, min, max);
}

#ifdef __cplusplus
}
#endif

#endif
