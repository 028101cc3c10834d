/* Built with the flags of the other generator, which made full_model.h: cnn(input, output) and all that it
 * needs. */
#include "peer.h"
#include "full_model.h"

void peer_run(const void *input, void *output) {
    cnn(input, output);
}
