#define REAL_BITS 64
#include "resize_weighted.c"
