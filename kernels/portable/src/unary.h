/* Operators that map each element of one tensor: the part that doesn't depend on the operator. */
#ifndef PORTABLE_UNARY_H
#define PORTABLE_UNARY_H

#include "problem.h"

typedef struct unary_call unary_call;

/* Maps n elements from x to y, which may be the same. */
typedef void unary_function(const void *x, void *y, int64_t n, const unary_call *call);

struct unary_call {
  double alpha, beta;    /* the operator's attributes */
  unary_function *inner; /* of a function that converts: what it applies to floats */
};

typedef struct unary_context {
  unary_function *function, *inner;
  /* Taken in place of function or inner when the attribute `choice` has the value `chosen`. */
  unary_function *alternative;
  const char *choice, *chosen;
  const char *alpha, *beta; /* attributes, or NULL */
  double seconds;           /* an element's, beside those for moving it */
  element x, y;
} unary_context;

void unary_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                 kp_answer *answer);
kp_status unary_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status unary_run(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);

/* The members of a kp_kernel that all of them share. */
#define UNARY_KERNEL(kernel_name, ...)                                   \
  {KERNEL(kernel_name),  .context = &(const unary_context){__VA_ARGS__}, \
   .query = unary_query, .prepare = unary_prepare,                       \
   .run = unary_run,     .release = release_prepared}

#endif
