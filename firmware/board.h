/*
 * What a board gives to the firmware. One implementation a board: boards/<name>/board.c.
 *
 * No interrupt is ever enabled: the UART is polled and time is the core's cycle counter, so nothing disturbs
 * a measurement. The build gives BOARD_NAME (string), BOARD_CLOCK_HZ and UART_BAUD; a clock that the board
 * cannot make does not compile.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Core clock, flash wait states, caches, prefetch, UART (8 data bits, no parity, 1 stop bit), cycle counter.
 */
void board_init(void);

/* Core clock in Hz, as configured now. */
uint32_t board_clock_hz(void);

/* Core clock cycles since board_init(), modulo 2^32: differences of two readings are right up to 2^32 - 1. */
uint32_t board_cycles(void);

/* The next received byte, 0..255, or -1 when none is waiting. Clears overrun, framing and noise errors, and
   drops a byte that was received with a framing error. */
int board_uart_read(void);

/* Sends `bytes` bytes; returns when the last one is in the transmitter. Sends nothing before board_init(). */
void board_uart_write(const void *data, uint32_t bytes);

/* Returns when the last bit of what was written has left the pin. */
void board_uart_flush(void);

/* Restarts the chip as its reset pin would; RAM in .noinit keeps its contents where the boot ROM leaves it
 * alone. */
__attribute__((noreturn)) void board_reset(void);

#endif
