#define NN_T int16_t
#define NN_INVERSE NN_INVERSE_OF_3
#define NN_SERVES(min, max) true
#define NN_ASSEMBLY(min) nn_wino_outputs_q16
#include "nn_wino_q.inc"

NN_PART void nn_wino_input(const int16_t *from, uint32_t column, uint32_t words, uint32_t *x) {
    for (words *= 2u; words > 0u; words--) {
        const int16_t *at = from + column;
        const uint32_t d0 = nn_load_word(from);
        const uint32_t d1 = nn_load_word(at);
        const uint32_t d2 = nn_load_word(at += column);
        const uint32_t d3 = nn_load_word(at += column);
        const uint32_t d4 = nn_load_word(at += column);
        const uint32_t d5 = nn_load_word(at += column);
        nn_wino_input_pair(d0, d1, d2, d3, d4, d5, 4u, x);
        x += 24;
        from += 2;
    }
}

#define NN_FUNCTION nn_conv_q16_packed_wino4
#define NN_PACKED 1
#include "nn_conv_wino43.inc"
