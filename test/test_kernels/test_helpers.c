/* Rounding, CRC and the conversions at a model's borders. */
#include "nn_io.h"
#include "nn_requant.h"
#include "support.h"
#include "tests.h"
#include <stddef.h>

/* Every 8-bit accumulator, shift and rounding. */
void test_rounding_of_8_bits(void) {
    for (int32_t shift = -31; shift <= 31; shift++) {
        for (uint8_t rounding = NN_ROUND_FLOOR; rounding <= NN_ROUND_TRUNC; rounding++) {
            const nn_requant requant = {(int8_t)shift, rounding, -100, 90, NULL};
            for (int32_t acc = -128; acc < 128; acc++) {
                const int32_t expected = oracle_round(acc, 1, &requant);
                TEST_EQUAL(nn_requant_i32(acc, &requant), expected, (uint32_t)(shift + 31), (uint8_t)acc);
                TEST_EQUAL(nn_requant_i64(acc, &requant), expected, (uint32_t)(shift + 31), (uint8_t)acc);
            }
        }
    }
}

void test_rounding_of_32_bits(void) {
    static const int32_t edges[] = {INT32_MIN, INT32_MIN + 1, -65536,        -1,       0,
                                    1,         65535,         INT32_MAX - 1, INT32_MAX};
    for (uint32_t i = 0; i < 2000u; i++) {
        const int32_t acc = i % 2u ? random_signed(32) : edges[i / 2u % 9u];
        const int32_t bound = i % 3u ? random_signed(32) : INT32_MIN;
        const nn_requant requant = {(int8_t)(random_signed(32) % 32), (uint8_t)(i % 3u),
                                    bound < 0 ? bound : -bound, bound < 0 ? -(bound + 1) : bound, NULL};
        TEST_EQUAL(nn_requant_i32(acc, &requant), oracle_round(acc, 1, &requant), i, 0u);
    }
}

void test_rounding_of_64_bits(void) {
    /* What 2^62 and the ends of int64_t become. */
    static const struct {
        int64_t acc;
        int8_t shift;
        int32_t floor, nearest, trunc;
    } cases[] = {
        {INT64_MAX, 62, 1, 2, 1},
        {INT64_MIN, 62, -2, -2, -2},
        {INT64_MIN + 1, 62, -2, -2, -1},
        {-1, 62, -1, 0, 0},
        {(INT64_C(1) << 61) - 1, 62, 0, 0, 0},
        {INT64_C(1) << 61, 62, 0, 1, 0},
        {-(INT64_C(1) << 61), 62, -1, 0, 0},
        {-(INT64_C(1) << 61) - 1, 62, -1, -1, 0},
        {INT64_MAX, -31, INT32_MAX, INT32_MAX, INT32_MAX},
        {INT64_MIN, -31, INT32_MIN, INT32_MIN, INT32_MIN},
        {-(INT64_C(1) << 40) - 1, 40, -2, -1, -1},
        {3, -5, 96, 96, 96},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nn_requant requant = {cases[i].shift, NN_ROUND_FLOOR, INT32_MIN, INT32_MAX, NULL};
        TEST_EQUAL(nn_requant_i64(cases[i].acc, &requant), cases[i].floor, i, 0u);
        requant.rounding = NN_ROUND_NEAREST;
        TEST_EQUAL(nn_requant_i64(cases[i].acc, &requant), cases[i].nearest, i, 1u);
        requant.rounding = NN_ROUND_TRUNC;
        TEST_EQUAL(nn_requant_i64(cases[i].acc, &requant), cases[i].trunc, i, 2u);
    }
    for (uint32_t i = 0; i < 1000u; i++) {
        const int64_t acc = (int64_t)random_signed(32) * (INT64_C(1) << 28) + random_signed(28);
        const nn_requant requant = {(int8_t)(random_signed(6) + 29), (uint8_t)(i % 3u), -30000, 30000, NULL};
        TEST_EQUAL(nn_requant_i64(acc, &requant), oracle_round(acc, 1, &requant), 100u + i, 0u);
    }
}

void test_rounding_of_quotients(void) {
    for (uint32_t i = 0; i < 3000u; i++) {
        const int32_t sum = random_signed(1u + i % 32u);
        const int32_t count = i % 2u ? 1 + (int32_t)(i % 13u) : 32769 + random_signed(16);
        const nn_requant requant = {(int8_t)(random_signed(32) % 31), (uint8_t)(i % 3u), -30000, 30000, NULL};
        TEST_EQUAL(nn_divide_i32(sum, count, &requant), oracle_round(sum, count, &requant), i, 0u);
    }
}

void test_crc32(void) {
    static const char digits[] = "123456789"; /* its CRC is the published check value */
    TEST_CHECK(nn_crc32(0u, digits, 9u) == 0xCBF43926u);
    TEST_CHECK(nn_crc32(nn_crc32(0u, digits, 4u), digits + 4, 5u) == 0xCBF43926u);
    TEST_CHECK(nn_crc32(0u, digits, 0u) == 0u);
}

void test_float_to_fixed_and_back(void) {
    static const float x[] = {0.0f, 0.4999999f, 0.5f,     -0.5f, -0.5000001f,
                              1.5f, -1.5f,      3.96875f, 1e30f, -1e30f};
    static const int8_t y0[] = {0, 0, 1, 0, -1, 2, -1, 4, 127, -128};
    static const int16_t y5[] = {0, 16, 16, -16, -16, 48, -48, 127, 32000, -32000};
    int8_t q8[10];
    int16_t q16[10];
    float back[10];
    nn_from_float_q8(x, 10u, 0, -128, 127, q8);
    nn_from_float_q16(x, 10u, 5, -32000, 32000, q16);
    nn_to_float_q16(q16, 10u, 5, back);
    for (uint32_t i = 0; i < 10u; i++) {
        TEST_EQUAL(q8[i], y0[i], 0u, i);
        TEST_EQUAL(q16[i], y5[i], 1u, i);
        TEST_EQUAL(float_bits(back[i] * 32.0f), float_bits((float)y5[i]), 2u, i);
    }
    nn_to_float_q8(q8, 10u, -1, back);
    TEST_EQUAL(float_bits(back[8]), float_bits(254.0f), 3u, 8u);
}
