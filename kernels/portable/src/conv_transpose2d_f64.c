/* conv_transpose2d.c for double. */
#define REAL_BITS 64
#include "conv_transpose2d.c"
