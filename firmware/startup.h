/* What the start-up code knows: the stack and the last fault. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/* Size of the stack in bytes (_stack_size of the linker script). */
uint32_t startup_stack_bytes(void);

/* High-water mark of the stack since reset, in bytes; a stack that overflowed reads as full. */
uint32_t startup_stack_used(void);

/* Address of the instruction whose fault caused this start; 0: another cause; 0xFFFFFFFF: a fault, place
 * unknown. */
uint32_t startup_last_fault(void);

#endif
