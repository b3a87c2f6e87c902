#include "scratch.h"

#include <pthread.h>
#include <stdlib.h>

__thread core_scratch core_thread_scratch;

static pthread_key_t key;

static void free_scratch(void *data) {
  (void)data;
  free(core_thread_scratch.data);
  core_thread_scratch = (core_scratch){0};
}

static void make_key(void) { pthread_key_create(&key, free_scratch); }

void *core_aligned_alloc(uint64_t bytes) {
  uint64_t rounded;
  if (__builtin_add_overflow(bytes, (uint64_t)KP_ALIGNMENT, &rounded) || rounded > PTRDIFF_MAX)
    return NULL;
  return aligned_alloc(KP_ALIGNMENT, (size_t)(rounded / KP_ALIGNMENT * KP_ALIGNMENT));
}

void *core_scratch_grow(uint64_t bytes) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  core_scratch *scratch = &core_thread_scratch;
  void *data = core_aligned_alloc(bytes);
  if (!data || scratch->busy) return data;
  pthread_once(&once, make_key);
  free(scratch->data);
  *scratch = (core_scratch){data, bytes, 1};
  pthread_setspecific(key, data);
  return data;
}

void core_scratch_drop(void *data) { free(data); }
