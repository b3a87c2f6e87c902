/* micro.c for double. */
#define REAL_BITS 64
#include "micro.c"
