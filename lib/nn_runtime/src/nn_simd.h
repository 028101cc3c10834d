/* The few SIMD operations of ARMv7E-M that the SIMD kernels are made of, with the same results in plain C
 * for other computers. Words hold two int16_t (a pair, the first in the low half) or four int8_t;
 * little-endian. */
#ifndef NN_SIMD_H
#define NN_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && defined(__thumb2__)
#define NN_DSP 1
#else
#define NN_DSP 0
#endif

/* A word from any address. */
static inline uint32_t nn_load_word(const void *address) {
    uint32_t word;
    memcpy(&word, address, sizeof word);
    return word;
}

static inline void nn_store_word(void *address, uint32_t word) {
    memcpy(address, &word, sizeof word);
}

/* A pair of int16_t. */
static inline uint32_t nn_pair(int32_t low, int32_t high) {
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
}

/* Bytes 0 and 2 of a word as a pair. */
static inline uint32_t nn_even_bytes(uint32_t word) {
#if NN_DSP
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
#else
    return nn_pair((int8_t)word, (int8_t)(word >> 16));
#endif
}

/* base + the unsigned bytes 0 and 2 (1 and 3) of a word, in each half; the sums fit. */
static inline uint32_t nn_add_even_unsigned(uint32_t base, uint32_t word) {
#if NN_DSP
    uint32_t pair;
    if (__builtin_constant_p(base) && base == 0u) {
        __asm__("uxtb16 %0, %1" : "=r"(pair) : "r"(word));
    } else {
        __asm__("uxtab16 %0, %1, %2" : "=r"(pair) : "r"(base), "r"(word));
    }
    return pair;
#else
    return base + (word & 0x00FF00FFu);
#endif
}

static inline uint32_t nn_add_odd_unsigned(uint32_t base, uint32_t word) {
#if NN_DSP
    uint32_t pair;
    if (__builtin_constant_p(base) && base == 0u) {
        __asm__("uxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    } else {
        __asm__("uxtab16 %0, %1, %2, ror #8" : "=r"(pair) : "r"(base), "r"(word));
    }
    return pair;
#else
    return base + (word >> 8 & 0x00FF00FFu);
#endif
}

/* Bytes 1 and 3 of a word as a pair. */
static inline uint32_t nn_odd_bytes(uint32_t word) {
#if NN_DSP
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
#else
    return nn_pair((int8_t)(word >> 8), (int8_t)(word >> 24));
#endif
}

/* The larger and the smaller of each int8_t or int16_t of two words. */
#if NN_DSP
#define NN_SELECT(name, subtract, first, second)                                                             \
    static inline uint32_t name(uint32_t a, uint32_t b) {                                                    \
        uint32_t result;                                                                                     \
        __asm__(subtract " %0, %1, %2\n\tsel %0, " first ", " second                                         \
                : "=&r"(result)                                                                              \
                : "r"(a), "r"(b)                                                                             \
                : "cc");                                                                                     \
        return result;                                                                                       \
    }
NN_SELECT(nn_max_bytes, "ssub8", "%1", "%2")
NN_SELECT(nn_min_bytes, "ssub8", "%2", "%1")
NN_SELECT(nn_max_halves, "ssub16", "%1", "%2")
NN_SELECT(nn_min_halves, "ssub16", "%2", "%1")
#else
#define NN_SELECT(name, type, step, compare)                                                                 \
    static inline uint32_t name(uint32_t a, uint32_t b) {                                                    \
        uint32_t result = 0u;                                                                                \
        for (uint32_t i = 0; i < 32u; i += step) {                                                           \
            const uint32_t mask = (0xFFFFFFFFu >> (32 - step)) << i;                                         \
            result |= ((type)(a >> i) compare(type)(b >> i) ? a : b) & mask;                                 \
        }                                                                                                    \
        return result;                                                                                       \
    }
NN_SELECT(nn_max_bytes, int8_t, 8, >=)
NN_SELECT(nn_min_bytes, int8_t, 8, <)
NN_SELECT(nn_max_halves, int16_t, 16, >=)
NN_SELECT(nn_min_halves, int16_t, 16, <)
#endif

/* Sum, difference and double of each half, modulo 2^16. */
static inline uint32_t nn_add_halves(uint32_t a, uint32_t b) {
#if NN_DSP
    uint32_t pair;
    __asm__("sadd16 %0, %1, %2" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
#else
    return ((a + b) & 0xFFFFu) | ((a & 0xFFFF0000u) + (b & 0xFFFF0000u));
#endif
}

static inline uint32_t nn_sub_halves(uint32_t a, uint32_t b) {
#if NN_DSP
    uint32_t pair;
    __asm__("ssub16 %0, %1, %2" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
#else
    return ((a - b) & 0xFFFFu) | ((a & 0xFFFF0000u) - (b & 0xFFFF0000u));
#endif
}

static inline uint32_t nn_double_halves(uint32_t a) {
    return nn_add_halves(a, a);
}

/* A word of the low bytes of two pairs: the first in bytes 0 and 2, the second in bytes 1 and 3. */
static inline uint32_t nn_bytes(uint32_t even, uint32_t odd) {
#if NN_DSP
    uint32_t word;
    __asm__("uxtb16 %1, %1\n\tuxtb16 %0, %2\n\torr %0, %1, %0, lsl #8" : "=&r"(word), "+r"(even) : "r"(odd));
    return word;
#else
    return (even & 0x00FF00FFu) | (odd & 0x00FF00FFu) << 8;
#endif
}

/* (low half of a, low half of b) and (high half of a, high half of b) as pairs. */
static inline uint32_t nn_low_halves(uint32_t a, uint32_t b) {
#if NN_DSP
    uint32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
#else
    return (a & 0xFFFFu) | b << 16;
#endif
}

static inline uint32_t nn_high_halves(uint32_t a, uint32_t b) {
#if NN_DSP
    uint32_t pair;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(b), "r"(a));
    return pair;
#else
    return (b & 0xFFFF0000u) | a >> 16;
#endif
}

/* The nearest int8_t or int16_t. */
static inline int32_t nn_saturate_8(int32_t value) {
#if NN_DSP
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value;
#endif
}

static inline int32_t nn_saturate_16(int32_t value) {
#if NN_DSP
    int32_t result;
    __asm__("ssat %0, #16, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value;
#endif
}

/* Each half to the nearest int8_t. */
static inline uint32_t nn_saturate_halves_8(uint32_t pair) {
#if NN_DSP
    uint32_t result;
    __asm__("ssat16 %0, #8, %1" : "=r"(result) : "r"(pair));
    return result;
#else
    return nn_pair(nn_saturate_8((int16_t)pair), nn_saturate_8((int16_t)(pair >> 16)));
#endif
}

/* a * b * 2^-32 to nearest, halves up. */
static inline int32_t nn_smmulr(int32_t a, int32_t b) {
#if NN_DSP
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
#endif
}

/* acc + the products of two pairs; wraps like the instruction. */
static inline int32_t nn_smlad(uint32_t a, uint32_t b, int32_t acc) {
#if NN_DSP
    __asm__("smlad %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    const uint32_t low = (uint32_t)((int32_t)(int16_t)a * (int16_t)b);
    const uint32_t high = (uint32_t)((int32_t)(int16_t)(a >> 16) * (int16_t)(b >> 16));
    return (int32_t)((uint32_t)acc + low + high);
#endif
}

/* The same in 64 bits. */
static inline int64_t nn_smlald(uint32_t a, uint32_t b, int64_t acc) {
#if NN_DSP
    __asm__("smlald %Q0, %R0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return acc + (int32_t)(int16_t)a * (int16_t)b + (int64_t)(int16_t)(a >> 16) * (int16_t)(b >> 16);
#endif
}

/* acc + low half of a * high half of b; acc + high half of a * low half of b; they wrap alike. */
static inline int32_t nn_smlabt(uint32_t a, uint32_t b, int32_t acc) {
#if NN_DSP
    __asm__("smlabt %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return (int32_t)((uint32_t)acc + (uint32_t)((int32_t)(int16_t)a * (int16_t)(b >> 16)));
#endif
}

static inline int32_t nn_smlatb(uint32_t a, uint32_t b, int32_t acc) {
    return nn_smlabt(b, a, acc);
}

#endif
