#define NN_FUNCTION nn_mac_1x2_q16
#define NN_T int16_t
#define NN_WORDS 2u
#define NN_W(w) {(w)[0], (w)[1]}
#include "nn_mac_1x2.inc"
