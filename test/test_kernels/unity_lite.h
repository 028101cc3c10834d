/* The few lines of Unity that these tests need, with its output:
 *
 *   file:line:name:PASS
 *   file:line:name:FAIL: message
 *   N Tests M Failures 0 Ignored
 *   OK | FAIL
 */
#ifndef UNITY_LITE_H
#define UNITY_LITE_H

#include <stdbool.h>
#include <stdint.h>

#define TEST_RUN(function) test_run(function, __FILE__, __LINE__, #function)

/* A condition of the running test. The first failure of a test is reported. */
#define TEST_CHECK(condition) test_check((condition), __FILE__, __LINE__, #condition)

/* Element `element` of case `number` of the running test. */
#define TEST_EQUAL(actual, expected, number, element)                                                        \
    test_equal(actual, expected, __FILE__, __LINE__, number, element)

void test_run(void (*test)(void), const char *file, int line, const char *name);
void test_check(bool good, const char *file, int line, const char *message);
void test_equal(int32_t actual, int32_t expected, const char *file, int line, uint32_t number,
                uint32_t element);

/* Prints the summary; returns how many tests failed. */
int test_end(void);

/* Where the output goes: one character. The program provides it. */
void test_putc(char c);

#endif
