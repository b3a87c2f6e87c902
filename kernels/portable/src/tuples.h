/* Tuples of indices, and the slices of a tensor that they name. */
#ifndef PORTABLE_TUPLES_H
#define PORTABLE_TUPLES_H

#include "indices.h"

typedef struct tuples {
  int wide, depth;
  int64_t count, each;                        /* `each` of a batch */
  int64_t batch;                              /* slices of a batch */
  int64_t extent[MAX_RANK], stride[MAX_RANK]; /* of the named axes, in slices */
} tuples;

/* Of an operator's first two inputs; `batch_dims` axes before the named ones are of both. */
tuples tuples_make(const kp_problem *problem, int batch_dims);

/* The place of each tuple's slice, in slices. Returns 0 if one is out of range. */
int tuples_places(const tuples *t, const void *indices, int64_t *places, int threads);

#endif
