#include "nn_requant.h"
#include "nn_simd.h"

void nn_dense_a16_simd(const int16_t *NN_RESTRICT x, const uint32_t *NN_RESTRICT w,
                       const int32_t *NN_RESTRICT bias, uint32_t in, uint32_t out,
                       const nn_requant_affine *requant, int16_t *NN_RESTRICT y) {
    for (uint32_t f = 0; f < out; f += 2u) {
        int32_t sum0 = bias[f];
        int32_t sum1 = f + 1u < out ? bias[f + 1u] : 0;
        const int16_t *xi = x;
        for (uint32_t n = in / 2u; n > 0u; n--) {
            const uint32_t two = nn_load_word(xi);
            sum0 = nn_smlad(two, nn_even_bytes(*w), sum0);
            sum1 = nn_smlad(two, nn_odd_bytes(*w), sum1);
            xi += 2;
            w++;
        }
        if (in % 2u != 0u) {
            const uint32_t last = nn_pair(*xi, 0);
            sum0 = nn_smlad(last, nn_even_bytes(*w), sum0);
            sum1 = nn_smlad(last, nn_odd_bytes(*w), sum1);
            w++;
        }
        y[f] = (int16_t)nn_affine_once(sum0, requant, f);
        if (f + 1u < out) {
            y[f + 1u] = (int16_t)nn_affine_once(sum1, requant, f + 1u);
        }
    }
}
