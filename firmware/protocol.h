/* The device's side of the serial protocol (PROTOCOL.md). Transport and time come from board.h, the model
   from model.h; nothing here knows a board. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "frame.h"
#include "model.h"

typedef struct {
    model_arena_t *arena;
    frame_reader reader;
    frame_writer writer;
    /* The request being received. */
    uint8_t type, seq;
    uint8_t argument_bytes; /* of its payload before the input: 0 or 2 */
    uint16_t argument;      /* n of BENCH, layer of TENSOR */
    uint32_t payload_bytes; /* that a request of this type must have */
    uint32_t span, offset;  /* where the next byte of the input goes */
    /* A frame that could not be read, to be answered when the line is quiet. */
    bool noise;
    uint32_t noise_bytes;
    uint32_t heard;                           /* board_cycles() of the last byte */
    uint8_t first_output[MODEL_OUTPUT_BYTES]; /* BENCH: of the first run, which later runs overwrite */
} protocol_server;

/* Requests are answered with the model in `arena`, which stays the server's. */
void protocol_init(protocol_server *server, model_arena_t *arena);

/* Takes at most one byte from the UART and serves the request that it completes. Call for ever. */
void protocol_poll(protocol_server *server);

#endif
