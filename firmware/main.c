/* The measurement firmware: one model, served over the UART. */
#include "board.h"
#include "model.h"
#include "protocol.h"

static model_arena_t arena;
static protocol_server server;

int main(void) {
    board_init();
    protocol_init(&server, &arena);
    for (;;) {
        protocol_poll(&server);
    }
}
