#include "unity_lite.h"

static uint32_t tests, failures;
static bool failed; /* the running test */
static const char *test_name;

static void print(const char *text) {
    while (*text != '\0') {
        test_putc(*text++);
    }
}

static void print_number(uint32_t value) {
    if (value >= 10u) {
        print_number(value / 10u);
    }
    test_putc((char)('0' + value % 10u));
}

static void print_signed(int32_t value) {
    if (value < 0) {
        test_putc('-');
    }
    print_number(value < 0 ? 0u - (uint32_t)value : (uint32_t)value);
}

static void print_place(const char *file, int line) {
    print(file);
    test_putc(':');
    print_number((uint32_t)line);
    test_putc(':');
    print(test_name);
}

void test_check(bool good, const char *file, int line, const char *message) {
    if (!good && !failed) {
        failed = true;
        print_place(file, line);
        print(":FAIL: ");
        print(message);
        test_putc('\n');
    }
}

void test_equal(int32_t actual, int32_t expected, const char *file, int line, uint32_t number,
                uint32_t element) {
    if (actual != expected && !failed) {
        failed = true;
        print_place(file, line);
        print(":FAIL: case ");
        print_number(number);
        print(" element ");
        print_number(element);
        print(" is ");
        print_signed(actual);
        print(", expected ");
        print_signed(expected);
        test_putc('\n');
    }
}

void test_run(void (*test)(void), const char *file, int line, const char *name) {
    test_name = name;
    failed = false;
    test();
    tests++;
    if (failed) {
        failures++;
    } else {
        print_place(file, line);
        print(":PASS\n");
    }
}

int test_end(void) {
    print_number(tests);
    print(" Tests ");
    print_number(failures);
    print(" Failures 0 Ignored\n");
    print(failures == 0u ? "OK\n" : "FAIL\n");
    return (int)failures;
}
