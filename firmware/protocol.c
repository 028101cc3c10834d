#include "protocol.h"
#include "board.h"
#include "startup.h"

#define PROTOCOL_VERSION 1u

enum { INFO = 0x01, RUN = 0x02, BENCH = 0x03, TRACE = 0x04, TENSOR = 0x05, SELFTEST = 0x06 };
enum { RESPONSE = 0x80, TRACE_LAYER = 0x94, TENSOR_DATA = 0x95 };
enum { BAD_CRC = 1, TOO_LONG = 2, TOO_SHORT = 3, UNKNOWN_TYPE = 4, BAD_VALUE = 5 };

#define HEAD_AND_CRC_BYTES 6u /* type, seq, crc */
#define TENSOR_CHUNK 128u
#define QUIET_PER_SECOND 500u /* noise is answered after 1/500 s of silence */

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const nn_span input_spans[] = MODEL_INPUT_SPANS;
static const nn_span output_spans[] = MODEL_OUTPUT_SPANS;

void protocol_init(protocol_server *server, model_arena_t *arena) {
    *server = (protocol_server){.arena = arena};
}

/* ---- sending ---- */

static void put_u32(frame_writer *writer, uint32_t value) {
    frame_put(writer, &value, sizeof value);
}

static void put_u16(frame_writer *writer, uint16_t value) {
    frame_put(writer, &value, sizeof value);
}

static void send_error(protocol_server *server, uint8_t seq, uint8_t code, uint32_t detail) {
    frame_begin(&server->writer, FRAME_ERROR, seq);
    frame_put(&server->writer, &code, sizeof code);
    put_u32(&server->writer, detail);
    frame_end(&server->writer);
}

static void begin_response(protocol_server *server) {
    frame_begin(&server->writer, (uint8_t)(server->type | RESPONSE), server->seq);
}

static void put_output(protocol_server *server) {
    for (uint32_t i = 0; i < sizeof output_spans / sizeof output_spans[0]; i++) {
        frame_put(&server->writer, (const uint8_t *)server->arena + output_spans[i].offset,
                  output_spans[i].bytes);
    }
}

static void send_cycles_and_output(protocol_server *server, uint32_t cycles) {
    begin_response(server);
    put_u32(&server->writer, cycles);
    put_output(server);
    frame_end(&server->writer);
}

/* ---- requests ---- */

static uint32_t timed_run(protocol_server *server) {
    const uint32_t start = board_cycles();
    model_run(server->arena);
    return board_cycles() - start;
}

static void info(protocol_server *server) {
    static const char names[] =
        BOARD_NAME "\0" MODEL_NAME "\0" COMPILER; /* the third zero is the literal's own */
    frame_writer *writer = &server->writer;
    begin_response(server);
    put_u16(writer, PROTOCOL_VERSION);
    put_u16(writer, NN_RUNTIME_API);
    put_u32(writer, MODEL_HASH);
    put_u32(writer, board_clock_hz());
    put_u32(writer, MODEL_INPUT_BYTES);
    put_u32(writer, MODEL_OUTPUT_BYTES);
    put_u32(writer, MODEL_ARENA_BYTES);
    put_u16(writer, MODEL_LAYERS);
    put_u32(writer, startup_stack_bytes());
    put_u32(writer, startup_stack_used());
    put_u32(writer, startup_last_fault());
    frame_put(writer, names, sizeof names);
    frame_end(writer);
}

static void bench(protocol_server *server) {
    uint32_t least = UINT32_MAX, most = 0;
    uint64_t total = 0;
    for (uint16_t run = 0; run < server->argument; run++) {
        const uint32_t cycles = timed_run(server);
        least = cycles < least ? cycles : least;
        most = cycles > most ? cycles : most;
        total += cycles;
        if (run == 0) {
            uint8_t *to = server->first_output;
            for (uint32_t i = 0; i < sizeof output_spans / sizeof output_spans[0]; i++) {
                const uint8_t *from = (const uint8_t *)server->arena + output_spans[i].offset;
                for (uint32_t j = 0; j < output_spans[i].bytes; j++) {
                    *to++ = from[j];
                }
            }
        }
    }
    begin_response(server);
    put_u32(&server->writer, least);
    put_u32(&server->writer, most);
    frame_put(&server->writer, &total, sizeof total);
    frame_put(&server->writer, server->first_output, sizeof server->first_output);
    frame_end(&server->writer);
}

/* A run that stops after each layer; the time that the stops take is not counted. */
typedef struct {
    protocol_server *server;
    uint32_t resumed; /* board_cycles() when the model went on */
    uint32_t cycles;  /* of the layers so far */
} observed_run;

static void send_layer(protocol_server *server, uint32_t layer, uint32_t cycles, const void *output,
                       uint32_t bytes) {
    frame_begin(&server->writer, TRACE_LAYER, server->seq);
    put_u16(&server->writer, (uint16_t)layer);
    put_u32(&server->writer, cycles);
    put_u32(&server->writer, bytes);
    put_u32(&server->writer, nn_crc32(0, output, bytes));
    frame_end(&server->writer);
}

static void send_tensor(protocol_server *server, const uint8_t *output, uint32_t bytes) {
    for (uint32_t offset = 0; offset < bytes; offset += TENSOR_CHUNK) {
        const uint32_t left = bytes - offset;
        frame_begin(&server->writer, TENSOR_DATA, server->seq);
        put_u32(&server->writer, offset);
        frame_put(&server->writer, output + offset, left < TENSOR_CHUNK ? left : TENSOR_CHUNK);
        frame_end(&server->writer);
    }
}

static void after_layer(void *context, uint32_t layer, const void *output, uint32_t bytes) {
    observed_run *run = context;
    const uint32_t cycles = board_cycles() - run->resumed;
    run->cycles += cycles;
    if (run->server->type == TRACE) {
        send_layer(run->server, layer, cycles, output, bytes);
    } else if (layer == run->server->argument) {
        send_tensor(run->server, output, bytes);
    }
    run->resumed = board_cycles();
}

static void observed(protocol_server *server) {
    observed_run run = {server, board_cycles(), 0};
    model_run_observed(server->arena, after_layer, &run);
    run.cycles += board_cycles() - run.resumed;
    send_cycles_and_output(server, run.cycles);
}

static void selftest(protocol_server *server) {
    const uint32_t start = board_cycles();
    const uint8_t ok = model_selftest(server->arena) ? 1 : 0;
    const uint32_t cycles = board_cycles() - start;
    begin_response(server);
    frame_put(&server->writer, &ok, sizeof ok);
    put_u32(&server->writer, cycles);
    frame_end(&server->writer);
}

static void serve(protocol_server *server) {
    const bool bad_value = (server->type == BENCH && server->argument == 0) ||
                           (server->type == TENSOR && server->argument >= MODEL_LAYERS);
    if (bad_value) {
        send_error(server, server->seq, BAD_VALUE, server->argument);
        return;
    }
    switch (server->type) {
    case INFO:
        info(server);
        break;
    case RUN:
        send_cycles_and_output(server, timed_run(server));
        break;
    case BENCH:
        bench(server);
        break;
    case TRACE:
    case TENSOR:
        observed(server);
        break;
    case SELFTEST:
        selftest(server);
        break;
    default:
        send_error(server, server->seq, UNKNOWN_TYPE, server->type);
        break;
    }
}

/* ---- receiving ---- */

static void begin_request(protocol_server *server, uint8_t type) {
    const bool has_input = type >= RUN && type <= TENSOR;
    server->type = type;
    server->argument_bytes = type == BENCH || type == TENSOR ? sizeof server->argument : 0;
    server->argument = 0;
    server->payload_bytes = server->argument_bytes + (has_input ? MODEL_INPUT_BYTES : 0u);
    server->span = 0;
    server->offset = 0;
}

/* Writes only while position < payload_bytes: never outside the input spans, whatever was sent. */
static void take_payload(protocol_server *server, uint32_t position, uint8_t byte) {
    if (position < server->argument_bytes) {
        server->argument = (uint16_t)(server->argument | (uint32_t)byte << (8u * position));
    } else if (position < server->payload_bytes) {
        while (server->offset == input_spans[server->span].bytes) {
            server->span++;
            server->offset = 0;
        }
        ((uint8_t *)server->arena)[input_spans[server->span].offset + server->offset++] = byte;
    }
}

static void end_request(protocol_server *server) {
    const frame_reader *reader = &server->reader;
    if (reader->count < HEAD_AND_CRC_BYTES) {
        return;
    }
    if (!reader->good) {
        server->noise = true;
        server->noise_bytes = reader->count;
        return;
    }
    server->noise = false;
    const uint32_t payload_bytes = reader->count - HEAD_AND_CRC_BYTES;
    const bool known = server->type >= INFO && server->type <= SELFTEST;
    if (known && payload_bytes != server->payload_bytes) {
        const uint8_t code = payload_bytes > server->payload_bytes ? TOO_LONG : TOO_SHORT;
        send_error(server, server->seq, code, server->payload_bytes);
        return;
    }
    serve(server);
}

void protocol_poll(protocol_server *server) {
    const int received = board_uart_read();
    if (received < 0) {
        if (server->noise && board_cycles() - server->heard > board_clock_hz() / QUIET_PER_SECOND) {
            server->noise = false;
            send_error(server, 0, BAD_CRC, server->noise_bytes);
        }
        return;
    }
    uint8_t byte;
    switch (frame_read(&server->reader, (uint8_t)received, &byte)) {
    case FRAME_NOTHING:
        break;
    case FRAME_BYTE:
        if (server->reader.count == 1) {
            begin_request(server, byte);
        } else if (server->reader.count == 2) {
            server->seq = byte;
        } else {
            take_payload(server, server->reader.count - 3u, byte);
        }
        break;
    case FRAME_END:
        end_request(server);
        break;
    }
    server->heard = board_cycles();
}
