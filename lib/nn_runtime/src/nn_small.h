/* Whether the image is compiled for size (-Os): kernels then leave out what only saves cycles. */
#ifndef NN_SMALL_H
#define NN_SMALL_H

#ifdef __OPTIMIZE_SIZE__
#define NN_SMALL 1
#else
#define NN_SMALL 0
#endif

#endif
