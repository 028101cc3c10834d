/*
 * Measures the constants of the cycle model (docs/cycle_model.md) with the core's own cycle counter, and
 * prints them as a fragment of board.toml: `pio test -e nucleo_l452re -f test_calibrate -vv`.
 *
 * Each kernel is the same few instructions 16 times, in straight code that fits the instruction cache; it
 * runs twice and the second run is timed. What an empty kernel takes is subtracted.
 */
#include "board.h"
#include "cortex_m4.h"
#include <stdbool.h>

#define REPEATS 16u
#define PASSES 512u
#define HUNDREDTHS 100u
#define FAR_RAM 0x4000u

extern uint32_t _vectors[], _estack[];

/* r1 points to a word that holds its own address, r2 and r3 are 1000 and 7, s1 and s2 are 1.5. */
#define KERNEL(name, body)                                                                                   \
    __attribute__((noinline, aligned(32))) static void run_##name(const void *where) {                       \
        __asm__ volatile("mov r1, %0\n\t"                                                                    \
                         "mov r2, #1000\n\t"                                                                 \
                         "mov r3, #7\n\t"                                                                    \
                         "vmov.f32 s1, #1.5\n\t"                                                             \
                         "vmov.f32 s2, #1.5\n\t"                                                             \
                         ".balign 32\n\t" body                                                               \
                         :                                                                                   \
                         : "r"(where)                                                                        \
                         : "r0", "r1", "r2", "r3", "r4", "r5", "s0", "s1", "s2", "s3", "s4", "cc",           \
                           "memory");                                                                        \
    }
#define REPEATED(name, body) KERNEL(name, ".rept 16\n\t" body ".endr\n\t")

KERNEL(nothing, "")
REPEATED(single, "nop\n\t")
REPEATED(lone_load, "ldr r0, [r1]\n\tnop\n\t")
REPEATED(load_use, "ldr r0, [r1]\n\tadds r0, #1\n\t")
REPEATED(load_address, "ldr r0, [r1]\n\tldr r4, [r0]\n\t")
REPEATED(multiply_accumulate, "vfma.f32 s0, s1, s2\n\tvldr s4, [r1]\n\t")
REPEATED(overlapped, "vfma.f32 s0, s1, s2\n\tadds r0, #1\n\tadds r4, #1\n\tvldr s4, [r1]\n\t")
REPEATED(fp_use, "vadd.f32 s0, s1, s2\n\tvmul.f32 s3, s0, s0\n\t")
REPEATED(fp_divide, "vdiv.f32 s0, s1, s2\n\tnop\n\t")
REPEATED(divide, "udiv r0, r2, r3\n\t")
REPEATED(branch, "b 1f\n\tnop\n\t1:\n\t")
REPEATED(branch_far, "b 1f\n\tnop\n\tnop\n\t1: add.w r0, r0, #1\n\tnop\n\t")
REPEATED(load_multiple, "ldm r1, {r0, r2, r3, r4}\n\t")
REPEATED(store_multiple, "stm r1, {r0, r2, r3, r4}\n\t")
REPEATED(smlad, "smlad r0, r2, r3, r0\n\t")
/* 4 KiB of 32-bit instructions: more than the STM32L4's instruction cache. */
KERNEL(straight, ".rept 1024\n\tadd.w r0, r0, #1\n\t.endr\n\t")
/* One read in each of 512 lines of 64 bytes, 32 KiB: more than any data cache. And the same from one word. */
KERNEL(flash_reads, "mov r2, #512\n\t1: ldr r0, [r1], #64\n\tsubs r2, #1\n\tbne 1b\n\t")
KERNEL(ram_reads, "mov r2, #512\n\t1: ldr r0, [r1], #0\n\tsubs r2, #1\n\tbne 1b\n\t")

static uint32_t own_address[8], tests, failures;

/* Cycles of the second run of a kernel, call included. */
static uint32_t timed(void (*kernel)(const void *), const void *where) {
    kernel(where);
    const uint32_t start = core_cycles();
    kernel(where);
    return core_cycles() - start;
}

static void put(const char *text) {
    const char *end = text;
    while (*end) {
        end++;
    }
    board_uart_write(text, (uint32_t)(end - text));
}

static void put_number(uint32_t value) {
    char digits[10];
    uint32_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value);
    while (count) {
        board_uart_write(&digits[--count], 1u);
    }
}

/* Hundredths as a decimal number. */
static void put_hundredths(int32_t value) {
    if (value < 0) {
        put("-");
        value = -value;
    }
    put_number((uint32_t)value / HUNDREDTHS);
    put(".");
    put_number((uint32_t)value / 10u % 10u);
    put_number((uint32_t)value % 10u);
}

static int32_t hundredths(uint32_t cycles, uint32_t count, uint32_t plain) {
    return (int32_t)((cycles * HUNDREDTHS + count / 2u) / count) - (int32_t)(plain * HUNDREDTHS);
}

/* Hundredths of a cycle that one repetition takes beyond `plain`, printed as a test of its own. */
static int32_t measure(const char *name, void (*kernel)(const void *), uint32_t plain) {
    const uint32_t nothing = timed(run_nothing, own_address);
    const uint32_t first = timed(kernel, own_address) - nothing;
    const bool again = timed(kernel, own_address) - nothing == first;
    const int32_t beyond = hundredths(first, REPEATS, plain);
    tests++;
    failures += again ? 0u : 1u;
    put("main.c:1:");
    put(name);
    put(again ? ":PASS: " : ":FAIL: differs from run to run: ");
    put_hundredths(beyond + (int32_t)(plain * HUNDREDTHS));
    put(" cycles, ");
    put_hundredths(beyond);
    put(" beyond the instructions\n");
    return beyond;
}

static void constant(const char *name, int32_t value) {
    put(name);
    put(" = ");
    put_number((uint32_t)(value < 0 ? 0 : value + (int32_t)(HUNDREDTHS / 2u)) / HUNDREDTHS);
    put("\n");
}

/* Wait states that board_init() has set, where a register tells them; 0 elsewhere. */
static uint32_t told_wait_states(void) {
    const char *name = BOARD_NAME;
    return name[0] == 'n' ? REGISTER(0x40022000u) & 7u : 0u; /* FLASH_ACR of the STM32L4 */
}

/* As board.toml has it: a miss takes data_wait_share of the wait states, which it must give where no register
 * does. */
static void put_flash(int32_t data_wait) {
    const uint32_t told = told_wait_states();
    const int32_t whole = (data_wait + (int32_t)(HUNDREDTHS / 2u)) / (int32_t)HUNDREDTHS;
    const int32_t states = told != 0u ? (int32_t)told : whole;
    put("[timing.flash]\n# data: ");
    put_hundredths(data_wait);
    put(" cycles a miss\nwait_states = ");
    put_number(told != 0u ? 0u : (uint32_t)whole);
    put("\ndata_wait_share = ");
    put_hundredths(states > 0 ? data_wait / states : 0);
}

int main(void) {
    board_init();
#ifdef TEST_WAIT_SECONDS /* a real board starts before the host listens */
    const uint32_t start = board_cycles();
    while (board_cycles() - start < TEST_WAIT_SECONDS * BOARD_CLOCK_HZ) {
    }
#endif
    own_address[0] = (uint32_t)(uintptr_t)own_address;

    measure("single", run_single, 1u);
    measure("lone_load", run_lone_load, 2u);
    const int32_t load_use = measure("load_use", run_load_use, 2u);
    measure("load_address", run_load_address, 2u);
    const int32_t accumulate = measure("multiply_accumulate", run_multiply_accumulate, 2u);
    measure("overlapped", run_overlapped, 4u);
    const int32_t fp_use = measure("fp_use", run_fp_use, 2u);
    const int32_t fp_divide = measure("fp_divide", run_fp_divide, 2u);
    const int32_t divide = measure("divide", run_divide, 1u);
    const int32_t branch = measure("branch", run_branch, 1u);
    measure("branch_far", run_branch_far, 3u);
    measure("load_multiple", run_load_multiple, 5u);
    own_address[0] = (uint32_t)(uintptr_t)own_address;
    measure("store_multiple", run_store_multiple, 5u);
    own_address[0] = (uint32_t)(uintptr_t)own_address;
    measure("smlad", run_smlad, 1u);
    measure("straight", run_straight, 64u);

    const uint32_t near = timed(run_ram_reads, own_address);
    const int32_t flash = hundredths(timed(run_flash_reads, _vectors) - near, PASSES, 0u);
    const int32_t far =
        hundredths(timed(run_ram_reads, (const void *)((uintptr_t)_estack - FAR_RAM)) - near, PASSES, 0u);

    put("[timing.core]\n");
    constant("load_use", load_use);
    constant("taken_branch", branch);
    constant("divide", divide);
    constant("fp_divide", fp_divide);
    constant("multiply_accumulate", accumulate);
    constant("fp_use", fp_use);
    put_flash(flash);
    put("\n[timing.ram]\nslow_wait = ");
    put_hundredths(far);
    put("\n");
    put_number(tests);
    put(" Tests ");
    put_number(failures);
    put(" Failures 0 Ignored\n");
    put(failures ? "FAIL\n" : "OK\n");
    board_uart_flush();
    for (;;) {
        __asm__ volatile("wfi");
    }
}
