#define REAL_BITS 64
#include "lrn.c"
