/* conv2d_gemm.c for double. */
#define REAL_BITS 64
#include "conv2d_gemm.c"
