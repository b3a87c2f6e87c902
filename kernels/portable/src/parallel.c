#include "parallel.h"

#include <omp.h>
#include <stdatomic.h>

#include "kernel.h"

enum {
  PARTS = 8, /* of a thread's share */
  MOST_THREADS = 256,
};

/* The parts of a share that nobody has taken: the first one's number in the lower half, the one
 * past the last in the upper. A cache line each. */
typedef struct share {
  _Alignas(KP_ALIGNMENT) _Atomic uint64_t left;
} share;

static uint64_t parts_between(int64_t begin, int64_t end) {
  return (uint64_t)begin | (uint64_t)end << 32;
}

/* Takes a part at either end; returns its number, or -1 where none is left. */
static int64_t take(share *s, int from_end) {
  uint64_t left = atomic_load_explicit(&s->left, memory_order_relaxed);
  for (;;) {
    const int64_t begin = (int64_t)(left & UINT32_MAX), end = (int64_t)(left >> 32);
    if (begin == end) return -1;
    const uint64_t rest = from_end ? parts_between(begin, end - 1) : parts_between(begin + 1, end);
    if (atomic_compare_exchange_weak_explicit(&s->left, &left, rest, memory_order_relaxed,
                                              memory_order_relaxed))
      return from_end ? end - 1 : begin;
  }
}

static int64_t take_any(share *shares, int count, int own) {
  int64_t part = take(&shares[own], 0);
  for (int i = 1; part < 0 && i < count; i++) part = take(&shares[(own + i) % count], 1);
  return part;
}

void parallel_for(int threads, int64_t total, parallel_body *body, const void *context) {
  if (total <= 0) return;
  const int count = (int)kernel_min(kernel_min(threads, MOST_THREADS), total);
  if (count <= 1) {
    body(context, 0, total, 0);
    return;
  }
  const int64_t parts = kernel_min(total, (int64_t)count * PARTS);
  share shares[MOST_THREADS];
  for (int i = 0; i < count; i++) {
    int64_t begin, end;
    kernel_split(parts, count, i, &begin, &end);
    atomic_init(&shares[i].left, parts_between(begin, end));
  }
#pragma omp parallel num_threads(count)
  {
    const int thread = omp_get_thread_num();
    for (int64_t part; (part = take_any(shares, count, thread)) >= 0;) {
      int64_t begin, end;
      kernel_split(total, parts, part, &begin, &end);
      body(context, begin, end, thread);
    }
  }
}
