#ifndef PEER_H
#define PEER_H

/* One inference; input and output as the generated code has them. */
void peer_run(const void *input, void *output);

#endif
