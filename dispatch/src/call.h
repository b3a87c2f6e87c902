/* call.h: the inside of packs and calls, for core's own files and the replay. */
#ifndef DISPATCH_CALL_H
#define DISPATCH_CALL_H

#include "core.h"
#include "process.h"

struct core_pack {
  const kp_pack_table *table;
  kp_pack *handle;
  const kp_kernel *const *kernels;
  size_t num_kernels;
  const char *library_version;
  void *library; /* dlopen's handle; NULL: opened from a table */
  core_process *process;
};

struct core_call {
  kp_status (*run)(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);
  kp_prepared *prepared;
  uint64_t scratch_bytes;
  int32_t threads;
  uint32_t num_buffers;
  uint8_t
      misaligned[CORE_FEW_BUFFERS]; /* of the first buffers: the address bits that must be zero */
  const kp_kernel *kernel;
  const core_pack *pack;
  core_answer *answer;
};

/* Sets OpenMP's number of threads and returns what it was; KP_UNAVAILABLE in
 * a forked child that can't have more than one. */
kp_status core_threads_enter(core_process *process, int threads, int *before);
void core_threads_leave(int threads, int before);

#endif
