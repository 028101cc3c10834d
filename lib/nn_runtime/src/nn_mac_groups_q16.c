#define NN_FUNCTION nn_mac_groups_q16
#define NN_BY_GROUPS
#include "nn_mac_16.inc"
#include "nn_mac_out_16.inc"

#include "nn_mac_4x2.inc"
