/*
 * Registers of the Cortex-M4 core that the firmware touches (ARMv7-M Architecture Reference Manual,
 * DDI 0403).
 *
 *   address     name    use
 *   0xE0001000  CTRL    DWT: CYCCNTENA (C1.8)
 *   0xE0001004  CYCCNT  DWT: core clock cycles, 32 bits (C1.8)
 *   0xE000ED08  VTOR    address of the vector table (B3.2)
 *   0xE000ED0C  AIRCR   system reset request (B3.2)
 *   0xE000ED28  CFSR    why a fault happened, read (B3.2)
 *   0xE000ED2C  HFSR    why a hard fault happened, read (B3.2)
 *   0xE000ED34  MMFAR   address of a memory fault, read (B3.2)
 *   0xE000ED38  BFAR    address of a bus fault, read (B3.2)
 *   0xE000ED88  CPACR   access to the FPU (B3.2)
 *   0xE000EDFC  DEMCR   TRCENA: power of the DWT (C1.6)
 */
#ifndef CORTEX_M4_H
#define CORTEX_M4_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_CTRL_CYCCNTENA (1u << 0)
#define DWT_CYCCNT REGISTER(0xE0001004u)

#define SCB_VTOR REGISTER(0xE000ED08u)
#define SCB_AIRCR REGISTER(0xE000ED0Cu)
#define SCB_AIRCR_VECTKEY (0x05FAu << 16)
#define SCB_AIRCR_PRIGROUP (7u << 8)
#define SCB_AIRCR_SYSRESETREQ (1u << 2)
#define SCB_CFSR REGISTER(0xE000ED28u)
#define SCB_HFSR REGISTER(0xE000ED2Cu)
#define SCB_MMFAR REGISTER(0xE000ED34u)
#define SCB_BFAR REGISTER(0xE000ED38u)
#define SCB_CPACR REGISTER(0xE000ED88u)
#define SCB_CPACR_CP10_CP11 (0xFu << 20)

#define CORE_DEMCR REGISTER(0xE000EDFCu)
#define CORE_DEMCR_TRCENA (1u << 24)

static inline void core_start_cycle_counter(void) {
    CORE_DEMCR |= CORE_DEMCR_TRCENA;
    DWT_CYCCNT = 0;
    DWT_CTRL |= DWT_CTRL_CYCCNTENA;
}

/* The memory clobber keeps the code to be measured between the two readings. */
static inline uint32_t core_cycles(void) {
    __asm__ volatile("" ::: "memory");
    uint32_t cycles = DWT_CYCCNT;
    __asm__ volatile("" ::: "memory");
    return cycles;
}

static inline void core_enable_fpu(void) {
    SCB_CPACR |= SCB_CPACR_CP10_CP11;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

__attribute__((noreturn)) static inline void core_reset(void) {
    __asm__ volatile("dsb" ::: "memory");
    SCB_AIRCR = SCB_AIRCR_VECTKEY | (SCB_AIRCR & SCB_AIRCR_PRIGROUP) | SCB_AIRCR_SYSRESETREQ;
    __asm__ volatile("dsb" ::: "memory");
    for (;;) { /* the reset takes some cycles to arrive */
    }
}

#endif
