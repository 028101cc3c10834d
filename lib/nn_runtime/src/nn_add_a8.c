#include "nn_simd.h"
#include <stdbool.h>

#define NN_T int8_t
#define NN_LEFT 20
#define NN_FUNCTION nn_add_a8
#define NN_FAST nn_add_fast
#include "nn_requant.h"

/* The operand of the larger scale, a, is only shifted, since its multiplier is 1/2; all is computed twice as
 * large as SPEC.md has it, which is what the multiplication that returns the upper word wants. */
typedef struct {
    int32_t from_a, from_b; /* - zero point * 2^20, * 2^21 */
    int32_t multiplier_b, half_b, right_b;
    int32_t multiplier, offset, right;
} nn_add_constants;

__attribute__((noinline)) static void nn_add_loop(const int8_t *a, const int8_t *b, uint32_t count,
                                                  const nn_add_constants *constants, int8_t *y) {
    const nn_add_constants c = *constants;
    for (const int8_t *end = y + count; y < end; y++) {
        int32_t v = nn_smmulr((int32_t)((uint32_t)*b++ << 21) + c.from_b, c.multiplier_b);
        v = (v + (v >> 31) + c.half_b) >> c.right_b;
        v = (int32_t)((uint32_t)*a++ << 20) + c.from_a + 2 * v;
        v = nn_smmulr(v, c.multiplier);
        v = (v + (v >> 31) + c.offset) >> c.right;
        *y = (int8_t)nn_saturate_8(v);
    }
}

/* Whether the addition was one for the loop above, and done. */
static bool nn_add_fast(const int8_t *a, const int8_t *b, uint32_t count, const nn_add_affine *add,
                        int8_t *y) {
    const bool swap = add->multiplier_a != 1 << 30 || add->shift_a != 0;
    const int32_t right_b = -(swap ? add->shift_a : add->shift_b);
    const int32_t right = -add->shift;
    const bool shifted = swap ? add->multiplier_b == 1 << 30 && add->shift_b == 0 : true;
    if (!shifted || right_b < 1 || right < 1 || right > 22 || add->min > INT8_MIN || add->max < INT8_MAX) {
        return false;
    }
    const nn_add_constants constants = {
        (swap ? add->zero_b : add->zero_a) * -(1 << 20),
        (swap ? add->zero_a : add->zero_b) * -(1 << 21),
        swap ? add->multiplier_a : add->multiplier_b,
        (int32_t)(1u << (right_b - 1)),
        right_b,
        add->multiplier,
        nn_affine_offset(add->zero_point, right),
        right,
    };
    nn_add_loop(swap ? b : a, swap ? a : b, count, &constants, y);
    return true;
}

#include "nn_add_affine.inc"
