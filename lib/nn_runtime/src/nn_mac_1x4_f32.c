#include "nn_mac_f32.h"

/* Adds the products of `count` > 0 elements of x with w [count][4] to four sums. */
static inline void nn_add_run(const float *x, const float *w, uint32_t count, float sums[4]) {
#if defined(__thumb2__) && defined(__ARM_FP) && defined(__GNUC__) && !defined(__aarch64__)
    float x0, w0, w1, w2, w3, sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
    /* VMLA rounds twice like VMUL and VADD; the integer instructions behind it take no time. */
    __asm__("1:\n"
            "vldr %[w0], [%[w]]\n"
            "vldr %[w1], [%[w], #4]\n"
            "vldr %[w2], [%[w], #8]\n"
            "vldr %[w3], [%[w], #12]\n"
            "vldr %[x0], [%[x]]\n"
            "vmul.f32 %[w0], %[x0], %[w0]\n"
            "vmul.f32 %[w1], %[x0], %[w1]\n"
            "vadd.f32 %[sum0], %[sum0], %[w0]\n"
            "vadd.f32 %[sum1], %[sum1], %[w1]\n"
            "vmla.f32 %[sum2], %[x0], %[w2]\n"
            "add %[w], %[w], #16\n"
            "add %[x], %[x], #4\n"
            "vmla.f32 %[sum3], %[x0], %[w3]\n"
            "subs %[count], %[count], #1\n"
            "bne 1b\n"
            : [x0] "=&t"(x0), [w0] "=&t"(w0), [w1] "=&t"(w1), [w2] "=&t"(w2), [w3] "=&t"(w3),
              [sum0] "+t"(sum0), [sum1] "+t"(sum1), [sum2] "+t"(sum2), [sum3] "+t"(sum3), [x] "+r"(x),
              [w] "+r"(w), [count] "+r"(count)
            :
            : "cc", "memory");
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
#else
    for (; count > 0u; count--) {
        const float xi = *x++;
        sums[0] += xi * w[0];
        sums[1] += xi * w[1];
        sums[2] += xi * w[2];
        sums[3] += xi * w[3];
        w += 4;
    }
#endif
}

void nn_mac_1x4_f32(nn_mac_f32 *loop) {
    for (; loop->count > 0u; loop->count--) {
        const float *x = loop->x;
        const float *w = loop->w;
        float sums[4] = {loop->bias[0], loop->bias[1], loop->bias[2], loop->bias[3]};
        for (uint32_t rows = loop->rows; rows > 0u; rows--) {
            for (uint32_t cols = loop->cols; cols > 0u; cols--) {
                if (loop->run > 0u) {
                    nn_add_run(x, w, loop->run, sums);
                }
                x += loop->run + (cols > 1u ? loop->hop : loop->skip) / 4u;
                w += 4u * loop->run;
            }
            w += loop->w_skip / 4u;
        }
        loop->y[0] = sums[0];
        loop->y[1] = sums[1];
        loop->y[2] = sums[2];
        loop->y[3] = sums[3];
        loop->y += 4;
        loop->bias += 4;
        loop->w += loop->w_filters / 4u;
    }
}
