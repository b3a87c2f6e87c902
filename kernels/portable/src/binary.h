/* Operators on two tensors that broadcast: the part that doesn't depend on the operator. */
#ifndef PORTABLE_BINARY_H
#define PORTABLE_BINARY_H

#include "broadcast.h"

typedef struct binary_context binary_context;

/* y = a op b over rows; y may be a or b where they lie alike. */
typedef void binary_function(const void *a, const void *b, void *y, const broadcast_rows *rows,
                             const binary_context *context);

struct binary_context {
  binary_function *function;
  binary_function *inner; /* of a function that converts: what it applies to floats */
  double seconds;         /* an element's, beside those for moving it */
  element operands, y;
};

void binary_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer);
kp_status binary_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status binary_run(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);

#define BINARY_KERNEL(kernel_name, ...)                                    \
  {KERNEL(kernel_name),   .context = &(const binary_context){__VA_ARGS__}, \
   .query = binary_query, .prepare = binary_prepare,                       \
   .run = binary_run,     .release = release_prepared}

#endif
