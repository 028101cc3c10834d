/* The kernel tests, for the host, virtual boards and real ones. */
#include "tests.h"
#include "unity_lite.h"

#ifdef BOARD_NAME
#include "board.h"

void test_putc(char c) {
    board_uart_write(&c, 1u);
}
#else
#include <stdio.h>

void test_putc(char c) {
    putchar(c);
}
#endif

int main(void) {
#ifdef BOARD_NAME
    board_init();
#endif
#ifdef TEST_WAIT_SECONDS /* a real board starts before the host listens */
    const uint32_t start = board_cycles();
    while (board_cycles() - start < TEST_WAIT_SECONDS * BOARD_CLOCK_HZ) {
    }
#endif
#define NN_KERNEL(op, type, function, in_place)                                                              \
    test_run(test_##function, "nn_kernels.def", __LINE__, "test_" #function);
#include "../nn_kernels.def"
#undef NN_KERNEL
    TEST_RUN(test_rounding_of_8_bits);
    TEST_RUN(test_rounding_of_32_bits);
    TEST_RUN(test_rounding_of_64_bits);
    TEST_RUN(test_rounding_of_quotients);
    TEST_RUN(test_exp_f32);
    TEST_RUN(test_crc32);
    TEST_RUN(test_float_to_fixed_and_back);
    const int failures = test_end();
#ifdef BOARD_NAME
    board_uart_flush();
    for (;;) {
        __asm__ volatile("wfi");
    }
#endif
    return failures != 0;
}
