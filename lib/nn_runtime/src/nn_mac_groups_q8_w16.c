#define NN_FUNCTION nn_mac_groups_q8_w16
#define NN_BY_GROUPS
#include "nn_mac_16.inc"
#include "nn_mac_out_8.inc"

#include "nn_mac_4x2.inc"
