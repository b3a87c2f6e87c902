#define REAL_BITS 64
#include "softmax.c"
