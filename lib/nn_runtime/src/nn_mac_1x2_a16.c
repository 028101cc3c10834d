#define NN_FUNCTION nn_mac_1x2_a16
#include "nn_mac_a16.inc"

#include "nn_mac_1x2.inc"
