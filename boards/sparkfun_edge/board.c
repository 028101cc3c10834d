/*
 * SparkFun Edge: core at 48 MHz from the HFRC oscillator, 96 MHz in burst mode; UART0 on pads 48 (TX) and 49
 * (RX), the FTDI header. UART0's 24 MHz come from HFRC too and do not change in burst mode.
 */
#include "board.h"
#include "apollo3.h"

#if BOARD_CLOCK_HZ != 48000000 && BOARD_CLOCK_HZ != 96000000
#error "BOARD_CLOCK_HZ of sparkfun_edge is 48000000 or 96000000"
#endif

#define UART_CLOCK_HZ 24000000u
/* Divisor in 64ths of UART_CLOCK_HZ / (16 * baud), rounded. */
#define UART_DIVISOR ((UART_CLOCK_HZ * 4u + UART_BAUD / 2u) / UART_BAUD)

#if UART_BAUD > 24000000 / 16 || UART_BAUD < 24000000 / 16 / 65535
#error "UART_BAUD is out of the range of UART0's divisor"
#endif

#define NORMAL_CLOCK_HZ 48000000u
#define BURST_CLOCK_HZ 96000000u
#define BURST_PATIENCE 100000u /* readings, each some cycles: ten times what the switch may take */

static void start_clock(void) {
    CLKGEN_CLKKEY = CLKGEN_CLKKEY_UNLOCK;
    CLKGEN_CCTRL = CLKGEN_CCTRL_HFRC;
    CLKGEN_CLKKEY = 0;
}

#if BOARD_CLOCK_HZ == 96000000
/* 1 when (*status & mask) becomes non-zero in time. */
static int becomes_set(volatile uint32_t *status, uint32_t mask) {
    for (uint32_t i = 0; i < BURST_PATIENCE; i++) {
        if (*status & mask) {
            return 1;
        }
    }
    return 0;
}

/* Not every part may burst and the power state may forbid it: then the core stays at 48 MHz, and
   board_clock_hz(), which asks the hardware, says so. */
static void start_burst(void) {
    if (!(MCUCTRL_SKU & MCUCTRL_SKU_ALLOWBURST)) {
        return;
    }
    MCUCTRL_FEATUREENABLE |= FEATUREENABLE_BURSTREQ;
    if (!becomes_set(&MCUCTRL_FEATUREENABLE, FEATUREENABLE_BURSTACK) ||
        !(MCUCTRL_FEATUREENABLE & FEATUREENABLE_BURSTAVAIL)) {
        return;
    }
    CLKGEN_FREQCTRL |= CLKGEN_FREQCTRL_BURSTREQ;
    (void)becomes_set(&CLKGEN_FREQCTRL, CLKGEN_FREQCTRL_BURSTSTATUS);
}
#endif

static void start_cache(void) {
    /* Both kinds of caching off before anything else changes: a bootloader may have left them on. */
    CACHECTRL_CACHECFG &= ~(CACHECFG_ICACHE | CACHECFG_DCACHE);
    CACHECTRL_CACHECFG = CACHECFG_1_WAY_128_BITS_1024_LINES | CACHECFG_TAG_CLOCK_GATE |
                         CACHECFG_DATA_CLOCK_GATE | CACHECFG_ICACHE | CACHECFG_DCACHE;
    CACHECTRL_CACHECFG |= CACHECFG_ENABLE;
}

static void start_uart(void) {
    PWRCTRL_DEVPWREN |= PWRCTRL_DEVPWREN_UART0;
    while (!(PWRCTRL_DEVPWRSTATUS & PWRCTRL_DEVPWRSTATUS_HCPA)) {
    }
    GPIO_PADKEY = GPIO_PADKEY_UNLOCK;
    GPIO_PADREGM = GPIO_PADREGM_48_UART0TX | GPIO_PADREGM_49_UART0RX;
    GPIO_PADKEY = 0;

    UART0_CR = 0;
    UART0_CR = UART_CR_CLKEN | UART_CR_CLKSEL_24MHZ; /* the divisors need the clock */
    UART0_IER = 0;
    UART0_IBRD = UART_DIVISOR / 64u;
    UART0_FBRD = UART_DIVISOR % 64u;
    UART0_LCRH =
        UART_LCRH_8_BITS | UART_LCRH_FEN; /* takes over the divisors; no parity, 1 stop bit, 32-byte FIFOs */
    UART0_CR = UART_CR_CLKEN | UART_CR_CLKSEL_24MHZ | UART_CR_UARTEN | UART_CR_TXE | UART_CR_RXE;
}

void board_init(void) {
    start_clock();
#if BOARD_CLOCK_HZ == 96000000
    start_burst();
#endif
    start_cache();
    start_uart();
    core_start_cycle_counter();
}

uint32_t board_clock_hz(void) {
    return CLKGEN_FREQCTRL & CLKGEN_FREQCTRL_BURSTSTATUS ? BURST_CLOCK_HZ : NORMAL_CLOCK_HZ;
}

uint32_t board_cycles(void) {
    return core_cycles();
}

int board_uart_read(void) {
    if (UART0_FR & UART_FR_RXFE) {
        return -1;
    }
    const uint32_t data = UART0_DR;
    if (data & (UART_DR_FRAMING | UART_DR_BREAK | UART_DR_OVERRUN)) {
        UART0_RSR = 0;
    }
    /* An overrun lost bytes before this one; this one is whole. */
    return data & (UART_DR_FRAMING | UART_DR_BREAK) ? -1 : (int)(data & 0xFFu);
}

/* A fault before start_uart() also comes here, and without power UART0 must not even be read. */
static int uart_is_on(void) {
    return (PWRCTRL_DEVPWREN & PWRCTRL_DEVPWREN_UART0) &&
           (PWRCTRL_DEVPWRSTATUS & PWRCTRL_DEVPWRSTATUS_HCPA) && (UART0_CR & UART_CR_UARTEN);
}

void board_uart_write(const void *data, uint32_t bytes) {
    const uint8_t *byte = data;
    if (!uart_is_on()) {
        return;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        while (UART0_FR & UART_FR_TXFF) {
        }
        UART0_DR = byte[i];
    }
}

void board_uart_flush(void) {
    if (!uart_is_on()) {
        return;
    }
    while (UART0_FR & UART_FR_BUSY) {
    }
}

void board_reset(void) {
    core_reset();
}
