/* The contract's functions of every kernel of this pack: each serves a plan. */
#ifndef QNNPACK_PREPARED_H
#define QNNPACK_PREPARED_H

#include "plan.h"

struct kp_pack {
  struct library library;
  size_t num_kernels;
  kp_kernel *kernels; /* their context is the kernel_row */
  const kp_kernel **list;
  char (*names)[64];
};

void prepared_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                    kp_answer *answer);
kp_status prepared_make(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status prepared_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                       void *queue);
void prepared_release(kp_prepared *prepared);

#endif
