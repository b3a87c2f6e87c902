/* Elements of a tensor named by an index each along an axis; beside it they lie where their indices
 * do. */
#ifndef PORTABLE_ALONG_H
#define PORTABLE_ALONG_H

#include "indices.h"

/* The indices' dimensions, at least one, joined where they can be, and their strides in the tensor:
 * none along the axis. */
typedef struct along {
  int ndim;
  int64_t extent[MAX_RANK], stride[MAX_RANK];
  int64_t axis_extent, axis_stride;
} along;

static inline along along_make(const kp_tensor *x, const kp_tensor *indices, int axis) {
  along a = {.axis_extent = x->dl.shape[axis],
             .axis_stride = extent_product(x->dl.shape, axis + 1, x->dl.ndim)};
  for (int i = 0; i < x->dl.ndim; i++) {
    const int64_t extent = indices->dl.shape[i];
    const int64_t stride = i == axis ? 0 : extent_product(x->dl.shape, i + 1, x->dl.ndim);
    if (extent == 1) continue;
    if (a.ndim && a.stride[a.ndim - 1] == stride * extent) {
      a.extent[a.ndim - 1] *= extent;
      a.stride[a.ndim - 1] = stride;
    } else {
      a.extent[a.ndim] = extent;
      a.stride[a.ndim++] = stride;
    }
  }
  if (!a.ndim) a.extent[a.ndim++] = 1;
  return a;
}

/* Where a walk is: its index along each dimension, and the place in the tensor of what the index
 * along the axis counts from. */
typedef struct along_walk {
  int64_t index[MAX_RANK], place;
} along_walk;

/* At the `i`th of the indices, which are more. */
static inline void along_seek(const along *a, int64_t i, along_walk *walk) {
  walk->place = 0;
  for (int k = a->ndim - 1; k >= 0; k--) {
    walk->index[k] = i % a->extent[k];
    walk->place += walk->index[k] * a->stride[k];
    i /= a->extent[k];
  }
}

/* What lies ahead along the last dimension, which the walk takes in one. */
static inline int64_t along_ahead(const along *a, const along_walk *walk) {
  return a->extent[a->ndim - 1] - walk->index[a->ndim - 1];
}

/* Goes to the next line's beginning. */
static inline void along_next(const along *a, along_walk *walk) {
  int k = a->ndim - 1;
  walk->place -= walk->index[k] * a->stride[k];
  walk->index[k] = 0;
  while (--k >= 0) {
    walk->place += a->stride[k];
    if (++walk->index[k] < a->extent[k]) return;
    walk->place -= a->extent[k] * a->stride[k];
    walk->index[k] = 0;
  }
}

#endif
