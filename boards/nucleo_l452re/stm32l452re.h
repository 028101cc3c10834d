/*
 * Registers of the STM32L452RE that board.c touches: all of them, nothing else. Names as in RM0394 (reference
 * manual of the STM32L41x to L46x), chapters USART, PWR, RCC, FLASH and GPIO.
 *
 *   address     name         use                                reset value
 *   0x40004400  USART2_CR1   enable, receiver, transmitter      0x00000000
 *   0x4000440C  USART2_BRR   baud rate divisor                  0x00000000
 *   0x4000441C  USART2_ISR   status, read                       0x020000C0
 *   0x40004420  USART2_ICR   clear error flags, write 1         0x00000000
 *   0x40004424  USART2_RDR   received byte, read                undefined
 *   0x40004428  USART2_TDR   byte to send, write                undefined
 *   0x40007000  PWR_CR1      voltage range                      0x00000200
 *   0x40007014  PWR_SR2      voltage is changing, read          0x00000000
 *   0x40021000  RCC_CR       oscillators and PLL on, ready      0x00000063
 *   0x40021008  RCC_CFGR     system clock and bus prescalers    0x00000000
 *   0x4002100C  RCC_PLLCFGR  PLL source, factors, outputs       0x00001000
 *   0x4002104C  RCC_AHB2ENR  clock of GPIOA                     0x00000000
 *   0x40021058  RCC_APB1ENR1 clocks of USART2 and PWR           0x00000400
 *   0x40022000  FLASH_ACR    wait states, prefetch, caches      0x00000600
 *   0x48000000  GPIOA_MODER  PA2, PA3: alternate function       0xABFFFFFF
 *   0x4800000C  GPIOA_PUPDR  PA3: pull-up                       0x64000000
 *   0x48000020  GPIOA_AFRL   PA2, PA3: function 7               0x00000000
 * and of the core: firmware/cortex_m4.h.
 */
#ifndef STM32L452RE_H
#define STM32L452RE_H

#include "cortex_m4.h"

#define USART2_CR1 REGISTER(0x40004400u)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART2_BRR REGISTER(0x4000440Cu)
#define USART2_ISR REGISTER(0x4000441Cu)
#define USART_ISR_FE (1u << 1)
#define USART_ISR_NF (1u << 2)
#define USART_ISR_ORE (1u << 3)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TC (1u << 6)
#define USART_ISR_TXE (1u << 7)
#define USART_ISR_TEACK (1u << 21)
#define USART_ISR_REACK (1u << 22)
#define USART2_ICR REGISTER(0x40004420u) /* FECF, NCF, ORECF: the same bits as in ISR */
#define USART2_RDR REGISTER(0x40004424u)
#define USART2_TDR REGISTER(0x40004428u)

#define PWR_CR1 REGISTER(0x40007000u)
#define PWR_CR1_VOS (3u << 9)
#define PWR_CR1_VOS_RANGE_1 (1u << 9)
#define PWR_SR2 REGISTER(0x40007014u)
#define PWR_SR2_VOSF (1u << 10)

#define RCC_CR REGISTER(0x40021000u)
#define RCC_CR_HSION (1u << 8)
#define RCC_CR_HSIRDY (1u << 10)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_CFGR REGISTER(0x40021008u)
#define RCC_CFGR_SW_PLL (3u << 0)
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_SWS_PLL (3u << 2)
#define RCC_PLLCFGR REGISTER(0x4002100Cu)
#define RCC_PLLCFGR_SRC_HSI16 (2u << 0)
#define RCC_PLLCFGR_M(m) (((m) - 1u) << 4) /* 1..8 */
#define RCC_PLLCFGR_N(n) ((n) << 8)        /* 8..86; N * source / M must be 64..344 MHz */
#define RCC_PLLCFGR_REN (1u << 24)
#define RCC_PLLCFGR_R(r) (((r) / 2u - 1u) << 25) /* 2, 4, 6, 8 */
#define RCC_AHB2ENR REGISTER(0x4002104Cu)
#define RCC_AHB2ENR_GPIOAEN (1u << 0)
#define RCC_APB1ENR1 REGISTER(0x40021058u)
#define RCC_APB1ENR1_USART2EN (1u << 17)
#define RCC_APB1ENR1_PWREN (1u << 28)

#define FLASH_ACR REGISTER(0x40022000u)
#define FLASH_ACR_LATENCY 7u
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ICEN (1u << 9)
#define FLASH_ACR_DCEN (1u << 10)

#define GPIOA_MODER REGISTER(0x48000000u)
#define GPIOA_PUPDR REGISTER(0x4800000Cu)
#define GPIOA_AFRL REGISTER(0x48000020u)

#endif
