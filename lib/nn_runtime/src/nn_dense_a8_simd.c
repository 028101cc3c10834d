#include "nn_requant.h"
#include "nn_simd.h"

/* Four elements times those of two filters. */
static inline void nn_dense_four(uint32_t x, const uint32_t *w, int32_t *sum0, int32_t *sum1) {
    const uint32_t even = nn_even_bytes(x);
    const uint32_t odd = nn_odd_bytes(x);
    *sum0 = nn_smlad(even, nn_even_bytes(w[0]), *sum0);
    *sum1 = nn_smlad(even, nn_odd_bytes(w[0]), *sum1);
    *sum0 = nn_smlad(odd, nn_even_bytes(w[1]), *sum0);
    *sum1 = nn_smlad(odd, nn_odd_bytes(w[1]), *sum1);
}

void nn_dense_a8_simd(const int8_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                      const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                      const nn_requant_affine *requant, int8_t *NN_RESTRICT y) {
    for (uint32_t f = 0; f < out; f += 2u) {
        int32_t sum0 = bias[f];
        int32_t sum1 = f + 1u < out ? bias[f + 1u] : 0;
        const int8_t *xi = x;
        for (uint32_t n = in / 4u; n > 0u; n--) {
            nn_dense_four(nn_load_word(xi), w, &sum0, &sum1);
            xi += 4;
            w += 2;
        }
        if (in % 4u != 0u) {
            uint32_t rest = 0u;
            memcpy(&rest, xi, in % 4u);
            nn_dense_four(rest, w, &sum0, &sum1);
            w += 2;
        }
        y[f] = (int8_t)nn_affine_once(sum0, requant, f);
        if (f + 1u < out) {
            y[f + 1u] = (int8_t)nn_affine_once(sum1, requant, f + 1u);
        }
    }
}
