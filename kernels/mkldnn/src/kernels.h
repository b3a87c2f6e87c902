/* The list of operator files. A line here and the file's name in meson.build add an operator. */
#ifndef MKLDNN_KERNELS_H
#define MKLDNN_KERNELS_H

#include "plan.h"

/* Each file defines NAME_kernels, a list that ends with an empty row. */
#define KERNEL_FILES(X) \
  X(binary)             \
  X(concat)             \
  X(convolution)        \
  X(elementwise)        \
  X(lrn)                \
  X(matmul)             \
  X(normalization)      \
  X(pooling)            \
  X(prelu)              \
  X(quantize)           \
  X(reduction)          \
  X(reorder)            \
  X(resampling)

#define X(name) extern const struct kernel_row name##_kernels[];
KERNEL_FILES(X)
#undef X

#endif
