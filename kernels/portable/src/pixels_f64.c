/* pixels.c for double. */
#define REAL_BITS 64
#include "pixels.c"
