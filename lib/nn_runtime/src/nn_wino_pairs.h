/* The input's transform of F(4, 3) (nn_conv_wino43.inc). */
#ifndef NN_WINO_PAIRS_H
#define NN_WINO_PAIRS_H

#include "nn_simd.h"
#include "nn_wino.h"

/* The transform of six pairs of channels, to x [6][4]: one of the four tiles. */
static inline void nn_wino_input_pair(uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3, uint32_t d4,
                                      uint32_t d5, uint32_t *x) {
    const uint32_t e = nn_sub_halves(d4, d2);
    const uint32_t f = nn_double_halves(nn_sub_halves(d3, d1));
    x[12] = nn_add_halves(e, f);
    x[16] = nn_sub_halves(e, f);
    x[20] = nn_sub_halves(nn_sub_halves(d5, d3), nn_double_halves(f));
    x[0] = nn_add_halves(nn_double_halves(nn_double_halves(nn_sub_halves(d0, d2))), e);
    const uint32_t u = nn_sub_halves(nn_double_halves(nn_double_halves(d2)), d4);
    const uint32_t v = nn_sub_halves(nn_double_halves(nn_double_halves(d1)), d3);
    x[4] = nn_add_halves(u, v);
    x[8] = nn_sub_halves(u, v);
}

#endif
