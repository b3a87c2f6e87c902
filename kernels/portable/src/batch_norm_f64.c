#define REAL_BITS 64
#include "batch_norm.c"
