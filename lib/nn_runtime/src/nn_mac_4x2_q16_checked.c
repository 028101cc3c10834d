#define NN_FUNCTION nn_mac_4x2_q16_checked
#define NN_CHECKED
#include "nn_mac_16.inc"
#include "nn_mac_out_16.inc"

#include "nn_mac_4x2.inc"
