#include "nn_simd.h"
#include "nn_wino.h"

void nn_wino_rows(int32_t *m, uint32_t count) {
    uint32_t *at = (uint32_t *)m;
    for (const uint32_t *end = at + count; at < end; at++) {
        const uint32_t p = at[count] + at[2u * count];
        const uint32_t q = at[count] - at[2u * count];
        const uint32_t r = at[3u * count] + at[4u * count];
        const uint32_t s = at[3u * count] - at[4u * count];
        const uint32_t m0 = at[0];
        const uint32_t m5 = at[5u * count];
        at[0] = (uint32_t)((int32_t)(6u * m0 + 4u * p + r) >> 3);
        at[count] = (uint32_t)((int32_t)(2u * q + s) >> 2);
        at[2u * count] = (uint32_t)((int32_t)(p + r) >> 1);
        at[3u * count] = (uint32_t)((int32_t)(q + 2u * s + 6u * m5) >> 1);
    }
}
