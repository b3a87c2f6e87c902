#define REAL_BITS 64
#include "unary.c"
