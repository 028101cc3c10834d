/* Runs the model's self-test on the host; exit status 0 when the outputs are the generator's, bit for bit. */
#include <stdbool.h>
#include <stdio.h>

#include "model.h"

static model_arena_t arena;

int main(void) {
    const bool right = model_selftest(&arena);
    printf("%s: %s\n", MODEL_NAME, right ? "self-test passed" : "self-test FAILED");
    return right ? 0 : 1;
}
