#define NN_FUNCTION nn_mac_1x2_q8
#define NN_T int8_t
#define NN_WORDS 1u
#define NN_W(w) {nn_even_bytes(*(w)), nn_odd_bytes(*(w))}
#include "nn_mac_1x2.inc"
