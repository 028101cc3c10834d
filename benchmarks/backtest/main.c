/*
 * ResNetv1-6 as Table A4 of Novac et al. 2021 timed it, in plain C: -DTYPE=8, 16 or 32 (float), -DFILTERS=f.
 * Runs twice and prints the cycles of the second run and the six outputs, as bits. weights.h is written by
 * backtest.py.
 */
#include "board.h"
#include <stdint.h>

#define INPUTS 9
#define TIME 128
#define HALF (TIME / 2)
#define CLASSES 6

#if TYPE == 32
typedef float number, sum;
static inline number narrowed(sum s, number bias) {
    return s + bias;
}
#else
#if TYPE == 8
typedef int8_t number;
#define LARGEST INT8_MAX
#define SHIFT 7
#else
typedef int16_t number;
#define LARGEST INT16_MAX
#define SHIFT 9
#endif
typedef int32_t sum;
static inline number clamped(sum s) {
    if (s > LARGEST) {
        s = LARGEST;
    }
    if (s < -LARGEST - 1) {
        s = -LARGEST - 1;
    }
    return (number)s;
}
static inline number narrowed(sum s, number bias) {
    return clamped((s >> SHIFT) + bias);
}
#endif

#include "weights.h"

#define NAME conv1
#define CHANNELS INPUTS
#define SAMPLES TIME
#define KERNEL 3
#define RELU 1
#include "conv.inc"

#define NAME conv2
#define CHANNELS FILTERS
#define SAMPLES TIME
#define KERNEL 3
#define RELU 1
#include "conv.inc"

#define NAME conv3
#define CHANNELS FILTERS
#define SAMPLES TIME
#define KERNEL 3
#define RELU 0
#include "conv.inc"

#define NAME conv4
#define CHANNELS FILTERS
#define SAMPLES TIME
#define KERNEL 3
#define RELU 0
#include "conv.inc"

#define NAME conv5
#define CHANNELS FILTERS
#define SAMPLES HALF
#define KERNEL 3
#define RELU 0
#include "conv.inc"

#define NAME shortcut
#define CHANNELS FILTERS
#define SAMPLES TIME
#define KERNEL 1
#define RELU 0
#include "conv.inc"

static void pool(const number x[FILTERS][TIME], int relu, number y[FILTERS][HALF]) {
    for (unsigned short filter = 0; filter < FILTERS; filter++) {
        for (unsigned short position = 0; position < HALF; position++) {
            const number first = x[filter][2 * position], second = x[filter][2 * position + 1];
            const number most = first > second ? first : second;
            y[filter][position] = relu && most < 0 ? 0 : most;
        }
    }
}

static void add(const number *a, const number *b, unsigned short count, number *y) {
    for (unsigned short i = 0; i < count; i++) {
#if TYPE == 32
        const number total = a[i] + b[i];
#else
        const number total = clamped((sum)a[i] + (sum)b[i]);
#endif
        y[i] = total < 0 ? 0 : total;
    }
}

static number first[FILTERS][TIME], second[FILTERS][TIME], third[FILTERS][TIME];

static void run(number output[CLASSES]) {
    conv1(input, w1, b1, first);
    conv2(first, w2, b2, second);
    conv3(second, w3, b3, third);
    add(first[0], third[0], FILTERS * TIME, first[0]);
    conv4(first, w4, b4, second);
    pool(second, 1, (number(*)[HALF])third);
    conv5((number(*)[HALF])third, w5, b5, (number(*)[HALF])second);
    shortcut(first, w6, b6, third);
    pool(third, 0, (number(*)[HALF])first);
    add(second[0], first[0], FILTERS * HALF, third[0]);
    number pooled[FILTERS];
    for (unsigned short filter = 0; filter < FILTERS; filter++) {
        const number *row = third[0] + filter * HALF;
        number most = row[0];
        for (unsigned short position = 1; position < HALF; position++) {
            most = row[position] > most ? row[position] : most;
        }
        pooled[filter] = most;
    }
    for (unsigned short class = 0; class < CLASSES; class ++) {
        sum total = 0;
        for (unsigned short channel = 0; channel < FILTERS; channel++) {
            total += (sum)pooled[channel] * (sum)w7[class][channel];
        }
        output[class] = narrowed(total, b7[class]);
    }
}

static void print_hex(uint32_t value, char end) {
    char text[9];
    for (int digit = 0; digit < 8; digit++) {
        text[digit] = "0123456789abcdef"[value >> (28 - 4 * digit) & 15u];
    }
    text[8] = end;
    board_uart_write(text, sizeof text);
}

int main(void) {
    number output[CLASSES];
    board_init();
    run(output);
    const uint32_t start = board_cycles();
    run(output);
    print_hex(board_cycles() - start, ' ');
    for (int class = 0; class < CLASSES; class ++) {
        union {
            number value;
            uint32_t bits;
        } shown = {.bits = 0};
        shown.value = output[class];
        print_hex(shown.bits, class + 1 < CLASSES ? ' ' : '\n');
    }
    board_uart_flush();
    return 0;
}
