#include "nn_runtime.h"
#include "nn_simd.h"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_q8_simd
#define NN_T int8_t
#define NN_MAX INT8_MAX
#define NN_PAIRS(count) (((count) + 3u) / 4u * 2u)
#define NN_W_WORDS 1u
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_q8 : nn_mac_1x2_q8)

/* Four elements become the pairs (0, 2) and (1, 3): what one instruction each makes of a word. */
__attribute__((noinline)) static void nn_pack(const int8_t *from, uint32_t count, uint32_t step,
                                              uint32_t *to) {
    for (; count >= 4u; count -= 4u) {
        const uint32_t word = nn_load_word(from);
        to[0] = nn_even_bytes(word);
        to[step] = nn_odd_bytes(word);
        from += 4;
        to += 2u * step;
    }
    if (count > 0u) {
        to[0] = nn_pair(from[0], count > 2u ? from[2] : 0);
        to[step] = nn_pair(count > 1u ? from[1] : 0, 0);
    }
}

__attribute__((noinline)) static void nn_pack_four(const int8_t *from, uint32_t step, uint32_t count,
                                                   uint32_t *to) {
    const int8_t *p0 = from;
    const int8_t *p1 = p0 + step;
    const int8_t *p2 = p1 + step;
    const int8_t *p3 = p2 + step;
    for (const int8_t *end = p0 + count / 4u * 4u; p0 < end;) {
        const uint32_t w0 = nn_load_word(p0);
        const uint32_t w1 = nn_load_word(p1);
        const uint32_t w2 = nn_load_word(p2);
        const uint32_t w3 = nn_load_word(p3);
        p0 += 4;
        p1 += 4;
        p2 += 4;
        p3 += 4;
        to[0] = nn_even_bytes(w0);
        to[1] = nn_even_bytes(w1);
        to[2] = nn_even_bytes(w2);
        to[3] = nn_even_bytes(w3);
        to[4] = nn_odd_bytes(w0);
        to[5] = nn_odd_bytes(w1);
        to[6] = nn_odd_bytes(w2);
        to[7] = nn_odd_bytes(w3);
        to += 8;
    }
    if (count % 4u != 0u) {
        nn_pack(p0, count % 4u, 4u, to);
        nn_pack(p1, count % 4u, 4u, to + 1);
        nn_pack(p2, count % 4u, 4u, to + 2);
        nn_pack(p3, count % 4u, 4u, to + 3);
    }
}

#include "nn_conv_simd.inc"
