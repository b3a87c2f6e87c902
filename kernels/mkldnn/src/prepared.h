/* The contract's functions of every kernel of this pack: each serves a plan. */
#ifndef MKLDNN_PREPARED_H
#define MKLDNN_PREPARED_H

#include "plan.h"

/* What kp_kernel.context points to. */
struct kernel_context {
  const struct kernel_row *row;
  dnnl_data_type_t dtype;
  const char *dtype_name;
  char name[64];
};

struct kp_pack {
  struct library dnnl;
  dnnl_engine_t engine;
  size_t num_kernels;
  kp_kernel *kernels;
  const kp_kernel **list;
  struct kernel_context *contexts;
};

void prepared_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                    kp_answer *answer);
void prepared_reason(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem, char *text,
                     size_t size);
kp_status prepared_make(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status prepared_pack(const kp_prepared *prepared, uint32_t input, const void *source,
                        void *destination, kp_error *error);
kp_status prepared_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                       void *queue);
void prepared_release(kp_prepared *prepared);

#endif
