/* A model of another generator as the measurement firmware wants it: one layer, input and output in the
 * arena. */
#include "model.h"
#include "peer.h"
#include <stddef.h>

void model_run_observed(model_arena_t *arena, nn_observer_t after_layer, void *context) {
    void *output = arena->bytes + ((const uint8_t *)model_output(arena, 0) - arena->bytes);
    peer_run(model_input(arena, 0), output);
    if (after_layer != NULL) {
        after_layer(context, 0u, output, MODEL_OUTPUT_BYTES);
    }
}

void model_run(model_arena_t *arena) {
    model_run_observed(arena, NULL, NULL);
}

/* Nothing is known that it must answer. */
bool model_selftest(model_arena_t *arena) {
    (void)arena;
    return true;
}
