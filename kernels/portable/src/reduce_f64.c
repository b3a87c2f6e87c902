#define REAL_BITS 64
#include "reduce.c"
