/* scratch.h: each thread's own scratch memory, aligned to KP_ALIGNMENT. */
#ifndef DISPATCH_SCRATCH_H
#define DISPATCH_SCRATCH_H

#include "kernel_pack.h"

typedef struct core_scratch {
  void *data;
  uint64_t size;
  int busy; /* a kernel of this thread holds it */
} core_scratch;

extern __thread core_scratch core_thread_scratch __attribute__((visibility("hidden")));

/* `bytes` bytes, grown where the thread has fewer; freed when the thread ends.
 * A kernel that calls another one gets memory of its own. NULL: none is left. */
void *core_scratch_grow(uint64_t bytes);
void core_scratch_drop(void *data);

static inline void *core_scratch_take(uint64_t bytes) {
  core_scratch *scratch = &core_thread_scratch;
  if (__builtin_expect(scratch->busy || bytes > scratch->size, 0)) return core_scratch_grow(bytes);
  scratch->busy = 1;
  return scratch->data;
}

static inline void core_scratch_return(void *data) {
  core_scratch *scratch = &core_thread_scratch;
  if (__builtin_expect(data != scratch->data, 0)) {
    core_scratch_drop(data);
    return;
  }
  scratch->busy = 0;
}

/* Aligned memory of at least one byte, to be given to free(). */
void *core_aligned_alloc(uint64_t bytes);

#endif
