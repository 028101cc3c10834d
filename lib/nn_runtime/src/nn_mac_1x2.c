#include "nn_mac.h"
#include "nn_simd.h"

void nn_mac_1x2_q8(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *sums) {
    int32_t sum0 = sums[0];
    int32_t sum1 = sums[1];
    for (const uint32_t *end = x + pairs; x < end; x++) {
        const uint32_t weights = *w++;
        sum0 = nn_smlad(*x, nn_even_bytes(weights), sum0);
        sum1 = nn_smlad(*x, nn_odd_bytes(weights), sum1);
    }
    sums[0] = sum0;
    sums[1] = sum1;
}

void nn_mac_1x2_q16(const uint32_t *x, const uint32_t *w, uint32_t pairs, int32_t *sums) {
    int32_t sum0 = sums[0];
    int32_t sum1 = sums[1];
    for (const uint32_t *end = x + pairs; x < end; x++) {
        sum0 = nn_smlad(*x, w[0], sum0);
        sum1 = nn_smlad(*x, w[1], sum1);
        w += 2;
    }
    sums[0] = sum0;
    sums[1] = sum1;
}
