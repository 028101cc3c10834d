/* Which taps of a sliding window lie inside the input, along one axis. */
#ifndef NN_WINDOW_H
#define NN_WINDOW_H

#include <stdint.h>

typedef struct {
    uint32_t first; /* first tap inside the input */
    uint32_t count; /* taps inside the input, from `first` on; may be 0 */
    uint32_t start; /* position of tap `first` in the input; 0 if count is 0 */
} nn_window;

/* Window at output position `out`: tap k is at input position out * stride - pad + k * dilation, k < kernel.
 */
static inline nn_window nn_window_at(uint32_t out, uint32_t stride, uint32_t pad, uint32_t kernel,
                                     uint32_t dilation, uint32_t size) {
    nn_window window = {0u, 0u, 0u};
    uint32_t start = out * stride;
    uint32_t first = 0u;
    if (start < pad) {
        first = (pad - start + dilation - 1u) / dilation; /* taps before the input, rounded up */
    }
    start += first * dilation;
    if (first < kernel && start < pad + size) { /* pad + size < 2^17 */
        const uint32_t fit = dilation == 1u ? pad + size - start : (pad + size - 1u - start) / dilation + 1u;
        window.first = first;
        window.count = fit < kernel - first ? fit : kernel - first;
        window.start = start - pad;
    }
    return window;
}

#endif
