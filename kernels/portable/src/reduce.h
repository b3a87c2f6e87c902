/* Reductions over axes: the part that doesn't depend on the operator or the element type. */
#ifndef PORTABLE_REDUCE_H
#define PORTABLE_REDUCE_H

#include "problem.h"

/* What a reduction starts from, adds to and ends with. An accumulator takes 8 bytes: a double or
 * an integer of 64 bits. */
typedef struct reduce_context {
  void (*start)(void *accumulators, int64_t n);
  /* Adds the n elements of x to one accumulator. */
  void (*run)(const void *x, int64_t n, void *accumulator);
  /* Adds element i of each row of x to accumulator i; rows are `step` elements apart. */
  void (*columns)(const void *x, int64_t rows, int64_t step, int64_t n, void *accumulators);
  /* Writes n elements; each accumulator has taken `count`. */
  void (*finish)(const void *accumulators, void *y, int64_t n, int64_t count);
  double seconds; /* an element's, beside those for moving it */
  element type;
} reduce_context;

void reduce_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer);
kp_status reduce_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status reduce_run(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);

#define REDUCE_KERNEL(kernel_name, ...)                                    \
  {KERNEL(kernel_name),   .context = &(const reduce_context){__VA_ARGS__}, \
   .query = reduce_query, .prepare = reduce_prepare,                       \
   .run = reduce_run,     .release = release_prepared}

#endif
