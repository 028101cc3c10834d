/*
 * memcpy and memset of images that are to be small, in place of the C library's, which spend 470 bytes on
 * speed.
 */
#include <string.h>

#ifdef NN_SMALL
/* GCC would make calls of themselves of the loops. */
#define AS_WRITTEN __attribute__((optimize("no-tree-loop-distribute-patterns")))

AS_WRITTEN void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    unsigned char *t = to;
    for (const unsigned char *f = from; count > 0; count--) {
        *t++ = *f++;
    }
    return to;
}

AS_WRITTEN void *memset(void *to, int value, size_t count) {
    unsigned char *t = to;
    for (; count > 0; count--) {
        *t++ = (unsigned char)value;
    }
    return to;
}
#endif
