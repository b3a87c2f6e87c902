/* naive.h: convolution and product as plain loops, the yardstick of the counts. */
#ifndef BENCH_NAIVE_H
#define BENCH_NAIVE_H

#include "kernel_pack.h"

/* A pack "naive" for core_pack_open_table: float32, dense, one thread, no intrinsics. */
const kp_pack_table *naive_pack_table(void);

/* Its kernels, each in a file of its own. */
extern const kp_kernel naive_convolution, naive_product;

#endif
