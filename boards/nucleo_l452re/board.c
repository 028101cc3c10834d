/*
 * NUCLEO-L452RE: clock from HSI16 through the PLL, USART2 on PA2/PA3 (ST-LINK virtual COM port).
 *
 * HSI16 and not MSI, which could make 48 MHz without the PLL: HSI16 is trimmed to about 1 % over temperature
 * (DS11912, table of HSI16 characteristics), enough for a UART (about 3 %); MSI alone drifts by several per
 * cent, and its correction needs the 32 kHz crystal, whose start takes up to seconds. It is also the clock of
 * the firmware that the paper's authors published, so flash timing is comparable.
 */
#include "board.h"
#include "stm32l452re.h"

/* 16 MHz * n / r. Wait states: one more for every 16 MHz in voltage range 1 (RM0394, FLASH, read access
 * latency). */
#if BOARD_CLOCK_HZ == 48000000
#define PLL_N 12u /* VCO 192 MHz */
#define PLL_R 4u
#define WAIT_STATES 2u
#elif BOARD_CLOCK_HZ == 80000000
#define PLL_N 10u /* VCO 160 MHz */
#define PLL_R 2u
#define WAIT_STATES 4u
#else
#error "BOARD_CLOCK_HZ of nucleo_l452re is 48000000 or 80000000"
#endif

#if UART_BAUD < BOARD_CLOCK_HZ / 65535 || UART_BAUD > BOARD_CLOCK_HZ / 16
#error "UART_BAUD is out of the range of USART2's divisor"
#endif

#define USART_ERRORS (USART_ISR_FE | USART_ISR_NF | USART_ISR_ORE)

static void start_clock(void) {
    /* Range 1 is the reset value: written because a debugger may have left another. */
    RCC_APB1ENR1 |= RCC_APB1ENR1_PWREN;
    (void)RCC_APB1ENR1; /* the peripheral has its clock two cycles after the enable (RM0394, RCC) */
    PWR_CR1 = (PWR_CR1 & ~PWR_CR1_VOS) | PWR_CR1_VOS_RANGE_1;
    while (PWR_SR2 & PWR_SR2_VOSF) {
    }

    /* Wait states first, and read back, then the faster clock (RM0394, FLASH). */
    FLASH_ACR = WAIT_STATES | FLASH_ACR_PRFTEN | FLASH_ACR_ICEN | FLASH_ACR_DCEN;
    while ((FLASH_ACR & FLASH_ACR_LATENCY) != WAIT_STATES) {
    }

    RCC_CR |= RCC_CR_HSION;
    while (!(RCC_CR & RCC_CR_HSIRDY)) {
    }
    RCC_PLLCFGR = RCC_PLLCFGR_SRC_HSI16 | RCC_PLLCFGR_M(1u) | RCC_PLLCFGR_N(PLL_N) | RCC_PLLCFGR_R(PLL_R) |
                  RCC_PLLCFGR_REN;
    RCC_CR |= RCC_CR_PLLON;
    while (!(RCC_CR & RCC_CR_PLLRDY)) {
    }
    RCC_CFGR = RCC_CFGR_SW_PLL; /* AHB, APB1 and APB2 undivided */
    while ((RCC_CFGR & RCC_CFGR_SWS) != RCC_CFGR_SWS_PLL) {
    }
}

static void start_uart(void) {
    RCC_AHB2ENR |= RCC_AHB2ENR_GPIOAEN;
    RCC_APB1ENR1 |= RCC_APB1ENR1_USART2EN;
    (void)RCC_APB1ENR1;

    /* PA2 and PA3: mode 2 (alternate function), function 7 (USART2); a pull-up keeps an open RX line idle. */
    GPIOA_AFRL = (GPIOA_AFRL & ~(0xFFu << 8)) | 0x77u << 8;
    GPIOA_PUPDR = (GPIOA_PUPDR & ~(3u << 6)) | 1u << 6;
    GPIOA_MODER = (GPIOA_MODER & ~(0xFu << 4)) | 0xAu << 4;

    USART2_BRR = (BOARD_CLOCK_HZ + UART_BAUD / 2u) / UART_BAUD;
    USART2_CR1 =
        USART_CR1_UE | USART_CR1_RE | USART_CR1_TE; /* 8 data bits, no parity, 1 stop bit, 16 samples a bit */
    while ((USART2_ISR & (USART_ISR_TEACK | USART_ISR_REACK)) != (USART_ISR_TEACK | USART_ISR_REACK)) {
    }
}

void board_init(void) {
    start_clock();
    start_uart();
    core_start_cycle_counter();
}

uint32_t board_clock_hz(void) {
    return BOARD_CLOCK_HZ;
}

uint32_t board_cycles(void) {
    return core_cycles();
}

int board_uart_read(void) {
    const uint32_t status = USART2_ISR;
    if (status & USART_ERRORS) {
        USART2_ICR = status & USART_ERRORS;
    }
    if (!(status & USART_ISR_RXNE)) {
        return -1;
    }
    const uint32_t byte = USART2_RDR & 0xFFu;
    return status & USART_ISR_FE ? -1 : (int)byte;
}

/* A fault before start_uart() also comes here: without its clock USART2 reads as zero and nothing is sent. */
static int uart_is_on(void) {
    return (USART2_CR1 & USART_CR1_UE) != 0;
}

void board_uart_write(const void *data, uint32_t bytes) {
    const uint8_t *byte = data;
    if (!uart_is_on()) {
        return;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        while (!(USART2_ISR & USART_ISR_TXE)) {
        }
        USART2_TDR = byte[i];
    }
}

void board_uart_flush(void) {
    if (!uart_is_on()) {
        return;
    }
    while (!(USART2_ISR & USART_ISR_TC)) {
    }
}

void board_reset(void) {
    core_reset();
}
