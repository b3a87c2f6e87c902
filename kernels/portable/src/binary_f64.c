#define REAL_BITS 64
#include "binary.c"
