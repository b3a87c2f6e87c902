/* The contract's functions of every kernel of this pack: each serves a plan. */
#ifndef KERNELS_ARM_COMPUTE_PREPARED_H
#define KERNELS_ARM_COMPUTE_PREPARED_H

#include "plan.h"

/* What kp_kernel.context points to. */
struct KernelContext {
  const KernelRow *row;
  arm_compute::DataType dtype;
  const char *dtype_name;
};

void prepared_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                    kp_answer *answer);
void prepared_reason(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem, char *text,
                     size_t size);
kp_status prepared_make(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status prepared_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                       void *queue);
void prepared_release(kp_prepared *prepared);

#endif
