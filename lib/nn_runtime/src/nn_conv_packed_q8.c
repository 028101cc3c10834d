#include "nn_runtime.h"
#include "nn_simd.h"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_packed_q8
#define NN_T int8_t
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

#include "nn_conv_packed.inc"
