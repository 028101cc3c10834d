#include "nn_requant.h"
#include <math.h>

/* e^x = 2^n * e^r with n = round(x / ln 2), r = x - n * ln 2 in -0.347..0.347; SPEC.md, section 7. */
float nn_exp_f32(float x) {
    if (x < -87.0f) {
        return 0.0f; /* keeps results normal: a core that flushes subnormals gives the same bits */
    }
    if (x > 88.72283f) {
        return INFINITY;
    }
    if (x != x) {
        return x; /* NaN */
    }
    const int32_t n = (int32_t)(x * 0x1.715476p+0f + (x < 0.0f ? -0.5f : 0.5f));
    float r = x - (float)n * 0x1.62e4p-1f; /* the leading 15 bits of ln 2: the product is exact */
    r = r - (float)n * 0x1.7f7d1cp-20f;    /* and the rest of it */
    float p = 0x1.a1cf7ep-13f;
    p = p * r + 0x1.6e031ep-10f;
    p = p * r + 0x1.11106cp-7f;
    p = p * r + 0x1.5553e0p-5f;
    p = p * r + 0x1.555556p-3f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    const int32_t half = n / 2; /* n = -126..128; 2^128 itself is no float */
    return p * nn_exp2i_f32(half) * nn_exp2i_f32(n - half);
}
