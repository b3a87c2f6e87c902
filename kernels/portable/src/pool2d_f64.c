#define REAL_BITS 64
#include "pool2d.c"
