/*
 * From reset to main, and from a fault to the next reset. For any Cortex-M4F; the boards differ in their
 * linker script and board.c only.
 */
#include "startup.h"
#include "board.h"
#include "cortex_m4.h"
#include "frame.h"

/* Of the linker script. */
extern uint32_t _vectors[], _sidata[], _sdata[], _edata[], _sbss[], _ebss[], _stack_limit[], _estack[];

#define STACK_PAINT 0xDEADBEEFu
#define FAULT_MAGIC 0xFA017ED1u
#define FAULT_PC_UNKNOWN 0xFFFFFFFFu

typedef void (*handler)(void);

int main(void);
void reset_handler(void);
void fault_handler(void);
void fault_report(uint32_t pc, uint32_t lr, uint32_t sp);

/* The 16 vectors of the core. Interrupts have none: they are never enabled. */
__attribute__((section(".isr_vector"), used)) static const handler vectors[16] = {
    (handler)_estack, /* initial stack pointer */
    reset_handler,    /* 1 reset */
    fault_handler,    /* 2 NMI */
    fault_handler,    /* 3 hard fault; the next three become hard faults because they are not enabled */
    fault_handler,    /* 4 memory management */
    fault_handler,    /* 5 bus fault */
    fault_handler,    /* 6 usage fault */
    0,
    0,
    0,
    0,
    fault_handler, /* 11 SVC */
    fault_handler, /* 12 debug monitor */
    0,
    fault_handler, /* 14 PendSV */
    fault_handler, /* 15 SysTick */
};

/* Tells the start after a fault where it was. RAM that lost its contents does not have the magic. */
__attribute__((section(".noinit"))) static struct {
    uint32_t magic, pc;
} fault_record;

static uint32_t last_fault;

void reset_handler(void) {
    __asm__ volatile("cpsid i" ::: "memory"); /* a bootloader may have left interrupts enabled */
    SCB_VTOR = (uint32_t)(uintptr_t)_vectors;
    core_enable_fpu();

    for (uint32_t *from = _sidata, *to = _sdata; to < _edata;) {
        *to++ = *from++;
    }
    for (uint32_t *to = _sbss; to < _ebss;) {
        *to++ = 0;
    }
    uint32_t *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    for (uint32_t *to = _stack_limit; to < sp;) {
        *to++ = STACK_PAINT;
    }

    if (fault_record.magic == FAULT_MAGIC) {
        last_fault = fault_record.pc;
    }
    fault_record.magic = 0;

    main();
    for (;;) {
        __asm__ volatile("wfi");
    }
}

uint32_t startup_stack_bytes(void) {
    return (uint32_t)((uintptr_t)_estack - (uintptr_t)_stack_limit);
}

uint32_t startup_stack_used(void) {
    const uint32_t *lowest = _stack_limit;
    while (lowest < _estack && *lowest == STACK_PAINT) {
        lowest++;
    }
    return (uint32_t)((uintptr_t)_estack - (uintptr_t)lowest);
}

uint32_t startup_last_fault(void) {
    return last_fault;
}

/*
 * Entry of every exception. Takes pc and lr from the exception frame, if the stack pointer still points into
 * RAM, and works out where the stack pointer was before (the frame is 32 bytes, 104 with FPU registers, and 4
 * more if it had to be aligned: ARMv7-M B1.5). Then it goes on with a fresh stack: the old one may be what
 * is broken.
 */
__attribute__((naked)) void fault_handler(void) {
    __asm__ volatile("mrs r2, msp\n\t"
                     "movs r0, #0\n\t"
                     "movs r1, #0\n\t"
                     "add r3, r2, #32\n\t"
                     "tst lr, #16\n\t" /* EXC_RETURN bit 4: 0 means a frame with FPU registers */
                     "it eq\n\t"
                     "addeq r3, r3, #72\n\t"
                     "movw r12, #:lower16:_sdata\n\t"
                     "movt r12, #:upper16:_sdata\n\t"
                     "cmp r2, r12\n\t"
                     "blo 1f\n\t"
                     "movw r12, #:lower16:_estack\n\t"
                     "movt r12, #:upper16:_estack\n\t"
                     "cmp r3, r12\n\t"
                     "bhi 1f\n\t"
                     "ldr r0, [r2, #24]\n\t"
                     "ldr r1, [r2, #20]\n\t"
                     "ldr r2, [r2, #28]\n\t"
                     "tst r2, #512\n\t" /* stacked xPSR bit 9: the frame was aligned */
                     "it ne\n\t"
                     "addne r3, r3, #4\n\t"
                     "mov r2, r3\n\t"
                     "1:\n\t"
                     "movw r12, #:lower16:_estack\n\t"
                     "movt r12, #:upper16:_estack\n\t"
                     "msr msp, r12\n\t"
                     "isb\n\t"
                     "b fault_report\n\t");
}

__attribute__((noreturn, used)) void fault_report(uint32_t pc, uint32_t lr, uint32_t sp) {
    fault_record.pc = pc != 0 ? pc : FAULT_PC_UNKNOWN;
    fault_record.magic = FAULT_MAGIC;

    const uint32_t payload[7] = {pc, lr, SCB_CFSR, SCB_HFSR, SCB_MMFAR, SCB_BFAR, sp};
    frame_writer writer;
    frame_begin(&writer, FRAME_FAULT, 0);
    frame_put(&writer, payload, sizeof payload);
    frame_end(&writer);
    board_uart_flush();
    board_reset();
}
