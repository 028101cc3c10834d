/*
 * Registers of the Apollo3 Blue that board.c touches: all of them, nothing else. Chapters of the Apollo3 Blue
 * datasheet.
 *
 *   address     name                  use                                                 reset value
 *   0x40004014  CLKGEN_CLKKEY         0x47 unlocks CCTRL                                  0x00000000
 *   0x40004018  CLKGEN_CCTRL          core clock: HFRC undivided (48 MHz)                 0x00000001
 *   0x40004034  CLKGEN_FREQCTRL       burst (96 MHz): request, status                     0x00000000
 *   0x40010030  GPIO_PADREGM          functions of pads 48 and 49                         0x00001818
 *   0x40010060  GPIO_PADKEY           0x73 unlocks the pad registers                      0x00000000
 *   0x40018000  CACHECTRL_CACHECFG    flash cache                                         0x00000050
 *   0x4001C000  UART0_DR              data and the errors of the byte                     undefined
 *   0x4001C004  UART0_RSR             errors, a write clears them                         0x00000000
 *   0x4001C018  UART0_FR              status, read                                        0x00000090
 *   0x4001C024  UART0_IBRD            baud rate divisor, integer part                     0x00000000
 *   0x4001C028  UART0_FBRD            baud rate divisor, 64ths                            0x00000000
 *   0x4001C02C  UART0_LCRH            frame format, FIFOs                                 0x00000000
 *   0x4001C030  UART0_CR              enable, clock                                       0x00000300
 *   0x4001C038  UART0_IER             interrupt enables                                   0x00000000
 *   0x40020014  MCUCTRL_SKU           this part may burst, read (only at 96 MHz)          bit 0 set
 *   0x40020018  MCUCTRL_FEATUREENABLE burst feature: request, answer (only at 96 MHz)     0x00000000
 *   0x40021008  PWRCTRL_DEVPWREN      power of UART0                                      0x00000000
 *   0x40021018  PWRCTRL_DEVPWRSTATUS  power of its domain, read                           0x00000000
 * and of the core: firmware/cortex_m4.h.
 */
#ifndef APOLLO3_H
#define APOLLO3_H

#include "cortex_m4.h"

/* Clock generator */
#define CLKGEN_CLKKEY REGISTER(0x40004014u)
#define CLKGEN_CLKKEY_UNLOCK 0x47u
#define CLKGEN_CCTRL REGISTER(0x40004018u)
#define CLKGEN_CCTRL_HFRC 0u
#define CLKGEN_FREQCTRL REGISTER(0x40004034u)
#define CLKGEN_FREQCTRL_BURSTREQ (1u << 0)
#define CLKGEN_FREQCTRL_BURSTSTATUS (1u << 2)

/* Pads. A pad has 8 bits: function 5..3, drive strength 2, input enable 1, pull-up 0. */
#define GPIO_PADREGM REGISTER(0x40010030u)
#define GPIO_PADREGM_48_UART0TX (0x00u << 0)
#define GPIO_PADREGM_49_UART0RX (0x02u << 8)
#define GPIO_PADKEY REGISTER(0x40010060u)
#define GPIO_PADKEY_UNLOCK 0x73u

/* Flash cache */
#define CACHECTRL_CACHECFG REGISTER(0x40018000u)
#define CACHECFG_ENABLE (1u << 0)
#define CACHECFG_1_WAY_128_BITS_1024_LINES (8u << 4)
#define CACHECFG_ICACHE (1u << 8)
#define CACHECFG_DCACHE (1u << 9)
#define CACHECFG_TAG_CLOCK_GATE (1u << 10)
#define CACHECFG_DATA_CLOCK_GATE (1u << 20)

/* UART0, a PL011 with a clock selector */
#define UART0_DR REGISTER(0x4001C000u)
#define UART_DR_FRAMING (1u << 8)
#define UART_DR_BREAK (1u << 10)
#define UART_DR_OVERRUN (1u << 11)
#define UART0_RSR REGISTER(0x4001C004u)
#define UART0_FR REGISTER(0x4001C018u)
#define UART_FR_BUSY (1u << 3)
#define UART_FR_RXFE (1u << 4)
#define UART_FR_TXFF (1u << 5)
#define UART0_IBRD REGISTER(0x4001C024u)
#define UART0_FBRD REGISTER(0x4001C028u)
#define UART0_LCRH REGISTER(0x4001C02Cu)
#define UART_LCRH_FEN (1u << 4)
#define UART_LCRH_8_BITS (3u << 5)
#define UART0_CR REGISTER(0x4001C030u)
#define UART_CR_UARTEN (1u << 0)
#define UART_CR_CLKEN (1u << 3)
#define UART_CR_CLKSEL_24MHZ (1u << 4)
#define UART_CR_TXE (1u << 8)
#define UART_CR_RXE (1u << 9)
#define UART0_IER REGISTER(0x4001C038u)

/* Features and power */
#define MCUCTRL_SKU REGISTER(0x40020014u)
#define MCUCTRL_SKU_ALLOWBURST (1u << 0)
#define MCUCTRL_FEATUREENABLE REGISTER(0x40020018u)
#define FEATUREENABLE_BURSTREQ (1u << 4)
#define FEATUREENABLE_BURSTACK (1u << 5)
#define FEATUREENABLE_BURSTAVAIL (1u << 6)
#define PWRCTRL_DEVPWREN REGISTER(0x40021008u)
#define PWRCTRL_DEVPWREN_UART0 (1u << 7)
#define PWRCTRL_DEVPWRSTATUS REGISTER(0x40021018u)
#define PWRCTRL_DEVPWRSTATUS_HCPA (1u << 2)

#endif
