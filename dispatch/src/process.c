#include "process.h"

#include <pthread.h>

#include "core.h"

static core_process state;

static void in_child(void) {
  if (atomic_load_explicit(&state.used_threads, memory_order_relaxed))
    atomic_store_explicit(&state.forked, 1, memory_order_relaxed);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, in_child); }

core_process *core_process_state(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  return &state;
}

int core_forked_with_threads(void) {
  return atomic_load_explicit(&state.forked, memory_order_relaxed);
}
