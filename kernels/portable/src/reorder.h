/* A tensor in another layout: shared by the kernels that also convert. */
#ifndef PORTABLE_REORDER_H
#define PORTABLE_REORDER_H

#include "blocked.h"
#include "copy.h"

enum { REORDER_COPIES = 3 };

typedef struct reorder_plan {
  struct {
    int64_t from, to; /* offsets in elements */
    strided_copy copy;
  } parts[REORDER_COPIES];
  int count;
  blocked_padding padding;
} reorder_plan;

/* Settles the layouts; refuses and returns 1 where the ranks don't fit them. */
int reorder_refuse(const kp_problem *problem, kp_answer *answer);

/* Copies that bring elements of `size` bytes from input 0's layout to output 0's. */
void reorder_make(const kp_problem *problem, int size, reorder_plan *plan);

void reorder_execute(const reorder_plan *plan, const void *from, void *to, int threads);

#endif
