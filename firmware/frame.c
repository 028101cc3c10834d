#include "frame.h"
#include "board.h"
#include "nn_runtime.h"

/* CRC-32 over a message followed by its own CRC-32, little-endian: the same for every message. */
#define CRC_RESIDUE 0x2144DF1Cu

static const uint8_t delimiter = 0;

static void send_block(frame_writer *writer) {
    writer->block[0] = writer->fill;
    board_uart_write(writer->block, writer->fill);
    writer->fill = 1;
}

static void encode(frame_writer *writer, const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        if (data[i] == 0) {
            send_block(writer);
        } else {
            writer->block[writer->fill++] = data[i];
            if (writer->fill == sizeof writer->block) {
                send_block(writer);
            }
        }
    }
}

void frame_begin(frame_writer *writer, uint8_t type, uint8_t seq) {
    const uint8_t head[2] = {type, seq};
    writer->crc = 0;
    writer->fill = 1;
    board_uart_write(&delimiter, 1);
    frame_put(writer, head, sizeof head);
}

void frame_put(frame_writer *writer, const void *data, uint32_t bytes) {
    writer->crc = nn_crc32(writer->crc, data, bytes);
    encode(writer, data, bytes);
}

void frame_end(frame_writer *writer) {
    const uint32_t crc = writer->crc;
    encode(writer, (const uint8_t *)&crc, sizeof crc);
    send_block(writer);
    board_uart_write(&delimiter, 1);
}

frame_event frame_read(frame_reader *reader, uint8_t wire, uint8_t *byte) {
    if (reader->ended) {
        *reader = (frame_reader){0};
    }
    if (wire == 0) {
        reader->good = reader->left == 0 && reader->crc == CRC_RESIDUE;
        reader->ended = true;
        return FRAME_END;
    }
    if (reader->left > 0) {
        reader->left--;
        *byte = wire;
    } else { /* a block's code: its length; the block before it ended in a zero unless it was full */
        const bool zero = reader->zero;
        reader->left = (uint8_t)(wire - 1u);
        reader->zero = wire != 0xFFu;
        if (!zero) {
            return FRAME_NOTHING;
        }
        *byte = 0;
    }
    reader->crc = nn_crc32(reader->crc, byte, 1);
    if (reader->count < UINT32_MAX) {
        reader->count++;
    }
    return FRAME_BYTE;
}
