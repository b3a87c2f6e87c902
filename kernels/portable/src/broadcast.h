/* Iteration over tensors that broadcast: the dimensions that can be walked as one, merged. */
#ifndef PORTABLE_BROADCAST_H
#define PORTABLE_BROADCAST_H

#include "problem.h"

enum { MAX_OPERANDS = 3 };

/* The output's dimensions as it lies in memory, outermost first, where it is dense. */
typedef struct broadcast {
  int num_operands, ndim; /* ndim >= 1 */
  int64_t count;          /* elements of the output */
  int64_t extent[MAX_RANK];
  int64_t stride[MAX_OPERANDS][MAX_RANK]; /* elements; 0: repeated */
} broadcast;

/* A run of rows: what the operators' functions work on. The output is dense. */
typedef struct broadcast_rows {
  int64_t rows, count;       /* rows, and elements of each */
  int64_t row[MAX_OPERANDS]; /* elements from a row to the next */
  int inner[MAX_OPERANDS];   /* 1: elements follow one another; 0: one for the whole row */
} broadcast_rows;

typedef void broadcast_body(const void *context, const broadcast_rows *rows, const int64_t *offsets,
                            int64_t output_offset);

/* Settles the layouts of a query and lays out the iteration over inputs 0 to num_operands - 1
 * and output 0. Returns 1 when it refuses; `answer` is NULL where the layouts are concrete. */
int broadcast_make(const kp_problem *problem, int num_operands, broadcast *b, kp_answer *answer);

/* Bits of the operands that lie in memory as the output does. */
uint64_t broadcast_dense(const broadcast *b);

/* Walks the output's elements [begin, end); offsets are in elements. */
void broadcast_walk(const broadcast *b, int64_t begin, int64_t end, broadcast_body *body,
                    const void *context);

#endif
