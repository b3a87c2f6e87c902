/* The list of operator files. A line here and the file's name in meson.build add an operator. */
#ifndef ARM_COMPUTE_KERNELS_H
#define ARM_COMPUTE_KERNELS_H

#include "plan.h"

/* Each file defines NAME_kernels, a list that ends with an empty row. */
#define KERNEL_FILES(X) \
  X(convolution)        \
  X(matmul)

#define X(name) extern const KernelRow name##_kernels[];
KERNEL_FILES(X)
#undef X

#endif
