/* Copies where each index of the output along an axis comes from an index of the input: padding,
 * nearest neighbours. */
#ifndef PORTABLE_MAPPED_H
#define PORTABLE_MAPPED_H

#include "problem.h"

enum { MAP_FILL = -1 }; /* in a map: no element of the input, but the value to fill in */

typedef struct mapped_axis {
  int64_t in, out;
  int64_t *map; /* `out` indices; those of the last axis but one and before may be NULL: as is */
} mapped_axis;

typedef struct mapped_copy {
  int ndim;              /* at least 1; the last axis has a map */
  int64_t unit;          /* bytes that belong together along the last axis */
  unsigned char fill[8]; /* one element */
  int fill_size;
  mapped_axis axes[MAX_RANK + 1];
} mapped_copy;

void mapped_run(const mapped_copy *copy, const void *x, void *y, int threads);

#endif
