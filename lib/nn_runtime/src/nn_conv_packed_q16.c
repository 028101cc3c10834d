#include "nn_runtime.h"
#include "nn_simd.h"
#include <stdbool.h>

#define NN_FUNCTION nn_conv_packed_q16
#define NN_T int16_t
#define NN_PAIRS(count) (((count) + 1u) / 2u)
#define NN_W_WORDS 2u
#define NN_MAC(width) ((width) > 1u ? nn_mac_4x2_q16 : nn_mac_1x2_q16)

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

#include "nn_conv_packed.inc"
