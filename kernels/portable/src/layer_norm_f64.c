#define REAL_BITS 64
#include "layer_norm.c"
