#include "nn_runtime.h"
#include "nn_simd.h"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_q16_simd
#define NN_T int16_t
#define NN_MAX INT16_MAX
#define NN_PAIRS(count) (((count) + 1u) / 2u)
#define NN_W_WORDS 2u
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_q16 : nn_mac_1x2_q16)
#include "nn_mac_start_q.inc"

__attribute__((noinline)) static void nn_pack(const int16_t *from, uint32_t count, uint32_t step,
                                              uint32_t *to) {
    for (; count >= 2u; count -= 2u) {
        *to = nn_load_word(from);
        from += 2;
        to += step;
    }
    if (count > 0u) {
        *to = nn_pair(*from, 0);
    }
}

__attribute__((noinline)) static void nn_pack_four(const int16_t *from, uint32_t step, uint32_t count,
                                                   uint32_t *to) {
    const int16_t *p0 = from;
    const int16_t *p1 = p0 + step;
    const int16_t *p2 = p1 + step;
    const int16_t *p3 = p2 + step;
    for (const int16_t *end = p0 + count / 2u * 2u; p0 < end;) {
        to[0] = nn_load_word(p0);
        to[1] = nn_load_word(p1);
        to[2] = nn_load_word(p2);
        to[3] = nn_load_word(p3);
        p0 += 2;
        p1 += 2;
        p2 += 2;
        p3 += 2;
        to += 4;
    }
    if (count % 2u != 0u) {
        to[0] = nn_pair(*p0, 0);
        to[1] = nn_pair(*p1, 0);
        to[2] = nn_pair(*p2, 0);
        to[3] = nn_pair(*p3, 0);
    }
}

#include "nn_conv_simd.inc"
