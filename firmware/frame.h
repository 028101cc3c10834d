/* Frames of the serial protocol (PROTOCOL.md): COBS and CRC-32 in both directions, one byte at a time. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the protocol sends numbers as they lie in memory: little-endian targets only"
#endif

#define FRAME_FAULT 0x7Eu
#define FRAME_ERROR 0x7Fu

/* One frame being sent; on the caller's stack or static. */
typedef struct {
    uint32_t crc;
    uint8_t fill;       /* bytes in block, its code byte counted: 1..254 between calls */
    uint8_t block[255]; /* a COBS block: its code, then up to 254 bytes that are not zero */
} frame_writer;

/* Starts a frame, sends `bytes` bytes of payload (as often as needed), ends it. Blocks while the UART sends.
 */
void frame_begin(frame_writer *writer, uint8_t type, uint8_t seq);
void frame_put(frame_writer *writer, const void *data, uint32_t bytes);
void frame_end(frame_writer *writer);

/* One frame being received. Zeroed, it is ready for the first. */
typedef struct {
    uint32_t crc;   /* over all decoded bytes, the frame's own CRC included */
    uint32_t count; /* decoded bytes; stays at its largest value */
    uint8_t left;   /* bytes of this COBS block still to come */
    bool zero;      /* a zero lies between this block and the next */
    bool good;      /* after FRAME_END: whole COBS blocks and the right CRC */
    bool ended;
} frame_reader;

typedef enum { FRAME_NOTHING, FRAME_BYTE, FRAME_END } frame_event;

/* Takes one byte from the line. FRAME_BYTE: *byte is decoded byte number reader->count - 1. FRAME_END: the
   frame is over, reader->good and reader->count tell what it was; they hold until the next call. */
frame_event frame_read(frame_reader *reader, uint8_t wire, uint8_t *byte);

#endif
