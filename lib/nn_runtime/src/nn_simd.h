/* The few SIMD operations of ARMv7E-M that the packed kernels are made of, with the same results in plain C for
 * other computers. Words hold two int16_t (a pair, the first in the low half) or four int8_t; little-endian. */
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

#endif
