#define REAL_BITS 64
#include "grid_sample.c"
