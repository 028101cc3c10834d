#define NN_FUNCTION nn_mac_1x2_q16
#define NN_T int16_t
#include "nn_mac_16.inc"

#include "nn_mac_1x2.inc"
