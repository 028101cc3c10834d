#define NN_FUNCTION nn_mac_4x2_q8
#include "nn_mac_8.inc"

#include "nn_mac_4x2.inc"
