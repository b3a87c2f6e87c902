/* The list of operator files. A line here and the file's name in meson.build add an operator. */
#ifndef QNNPACK_KERNELS_H
#define QNNPACK_KERNELS_H

#include "plan.h"

/* Each file defines NAME_kernels, a list that ends with an empty row. */
#define KERNEL_FILES(X) \
  X(channel_shuffle)    \
  X(clip)               \
  X(max_pool2d)         \
  X(qadd)               \
  X(qavg_pool2d)        \
  X(qconv2d)            \
  X(qconv_transpose2d)  \
  X(qmatmul)            \
  X(qsoftmax)

#define X(name) extern const struct kernel_row name##_kernels[];
KERNEL_FILES(X)
#undef X

#endif
