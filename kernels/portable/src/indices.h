/* Indices along an axis, int32 or int64, of which negative ones count from the end. */
#ifndef PORTABLE_INDICES_H
#define PORTABLE_INDICES_H

#include "problem.h"

static inline int are_wide(const kp_tensor *indices) { return indices->dl.dtype.bits == 64; }

static inline int64_t index_at(int wide, const void *indices, int64_t i) {
  return wide ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
}

/* The place that an index names along an axis of `extent`; -1 beyond its ends. */
static inline int64_t place_of(int64_t index, int64_t extent) {
  const int64_t place = index < 0 ? index + extent : index;
  return place >= 0 && place < extent ? place : -1;
}

/* What parallel parts say together of the indices that they have seen. */
static inline void note_outside(int *outside, int found) {
  if (found) __atomic_store_n(outside, 1, __ATOMIC_RELAXED);
}

#endif
