/* The list of operator files. A line here and the file's name in meson.build add an operator. */
#ifndef KERNELS_ARM_COMPUTE_KERNELS_H
#define KERNELS_ARM_COMPUTE_KERNELS_H

#include "plan.h"

/* Each file defines NAME_kernels, a list that ends with an empty row. */
#define KERNEL_FILES(X) \
  X(binary)             \
  X(convolution)        \
  X(elementwise)        \
  X(matmul)             \
  X(movement)           \
  X(normalization)      \
  X(pooling)            \
  X(qmatmul)            \
  X(reduction)          \
  X(resampling)         \
  X(softmax)

#define X(name) extern const KernelRow name##_kernels[];
KERNEL_FILES(X)
#undef X

#endif
