#define NN_FUNCTION nn_mac_1x2_a8
#define NN_OUT nn_mac_out_affine
#define NN_NEXT(block) ((block)->multipliers += 2, (block)->filter_shifts += 2)
#include "nn_mac_8.inc"

#include "nn_mac_1x2.inc"
