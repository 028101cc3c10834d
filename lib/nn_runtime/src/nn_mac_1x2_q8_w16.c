#define NN_FUNCTION nn_mac_1x2_q8_w16
#include "nn_mac_16.inc"
#include "nn_mac_out_8.inc"

#include "nn_mac_1x2.inc"
