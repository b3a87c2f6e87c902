/* Kernels for half-width floats by way of a float kernel: inputs are converted into scratch, the
 * float kernel runs, its outputs are converted back. */
#ifndef PORTABLE_WIDEN_H
#define PORTABLE_WIDEN_H

#include "level.h"
#include "problem.h"

typedef struct widen_context {
  const kp_kernel *base; /* of float */
  element narrow;
} widen_context;

void BASE_NAME(widen_query)(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                            kp_answer *answer);
kp_status BASE_NAME(widen_prepare)(kp_pack *pack, const kp_kernel *kernel,
                                   const kp_problem *problem, const void *const *constants,
                                   kp_prepared **prepared, kp_error *error);
kp_status BASE_NAME(widen_run)(const kp_prepared *prepared, void *const *buffers, void *scratch,
                               void *queue);
void BASE_NAME(widen_release)(kp_prepared *prepared);

#define WIDENED(kernel_name, float_kernel, narrow_element)             \
  {KERNEL(kernel_name),                                                \
   .context = &(const widen_context){&(float_kernel), narrow_element}, \
   .query = BASE_NAME(widen_query),                                    \
   .prepare = BASE_NAME(widen_prepare),                                \
   .run = BASE_NAME(widen_run),                                        \
   .release = BASE_NAME(widen_release)}

/* An operator's kernels for bfloat16 and float16. */
#define WIDENED_HALVES(operator_name, float_kernel)                             \
  WIDENED("portable." operator_name ".widen.bf16", float_kernel, ELEMENT_bf16), \
      WIDENED("portable." operator_name ".widen.f16", float_kernel, ELEMENT_f16)

#endif
