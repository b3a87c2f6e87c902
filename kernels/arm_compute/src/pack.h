/*
 * An opened pack, and how its two libraries meet. kernels_arm_compute is what the dispatcher loads:
 * it links nothing of the Arm Compute Library, finds it and checks its version. Only then does it
 * load kernels_arm_compute_shim, whose C++ symbols resolve to that library.
 */
#ifndef KERNELS_ARM_COMPUTE_PACK_H
#define KERNELS_ARM_COMPUTE_PACK_H

#include "kernel_pack.h"

struct kp_pack {
  char description[160]; /* "Arm Compute Library 24.11 with Advanced SIMD, dot product" */
  const kp_kernel *const *kernels;
  size_t num_kernels;
};

/* The shim's exported functions. This one fills in the kernels and the description, whose first
 * words are `library`. May be called several times. */
#define SHIM_ENTRY "arm_compute_shim_open"
typedef kp_status (*shim_entry)(const char *library, kp_pack *pack, kp_error *error);

/* Returns the address of the library's build_information() that the shim is bound to. */
#define SHIM_BOUND "arm_compute_shim_bound"
typedef void *(*shim_bound)(void);

#endif
