#define NN_FUNCTION nn_mac_1x2_q8
#include "nn_mac_8.inc"

#include "nn_mac_1x2.inc"
