/* Copies of boxes of elements between tensors of any strides. */
#ifndef PORTABLE_COPY_H
#define PORTABLE_COPY_H

#include "problem.h"

/* Dimensions outermost first; strides in elements, those of `to` not zero and not negative. */
typedef struct strided_copy {
  int ndim, size; /* size: bytes of an element: 1, 2, 4 or 8 */
  int64_t extent[MAX_RANK], from[MAX_RANK], to[MAX_RANK];
} strided_copy;

/* Merges and orders the dimensions so that copy_run has the least to do. */
void copy_simplify(strided_copy *copy);

/* `from` and `to` point to the box's first elements; they don't overlap. */
void copy_run(const strided_copy *copy, const void *from, void *to, int threads);

/* What planes that are turned and short lines take more than one run of bytes, in seconds of one
 * thread. */
double copy_piecemeal_seconds(const strided_copy *copy);

#endif
