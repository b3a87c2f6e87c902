/* Layouts and folded shapes of what is worked on element by element. */
#ifndef KERNELS_ARM_COMPUTE_LAYOUT_H
#define KERNELS_ARM_COMPUTE_LAYOUT_H

#include "plan.h"

/*
 * Settles the layouts of tensors that are worked on element by element: those of output 0's shape
 * take the first layout that one of them names ("nchw" where none does). Returns that layout, or
 * null after a refusal.
 */
const char *layout_shared(Plan &plan);

/* Every tensor in the logical order: settles "any" and refuses the others. */
bool layout_plain(Plan &plan);

/* The elements as one row. */
arm_compute::TensorInfo layout_row(const kp_tensor &tensor);

/*
 * A tensor as (outer, axis, inner) in the order of its bytes, where `axis` is a logical dimension:
 * "nhwc" has the channels last.
 */
struct Lines {
  int64_t outer, axis, inner;
};
Lines layout_lines(const kp_tensor &tensor, const char *layout, int axis);

/* Bytes that a call reads and writes. */
double layout_bytes(const kp_problem &problem);

#endif
