#include "parallel.h"

#include "kernel.h"

void parallel_for(int threads, int64_t total, parallel_body *body, const void *context) {
  if (total <= 0) return;
  int parts = threads < total ? threads : (int)total;
  if (parts <= 1) {
    body(context, 0, total, 0);
    return;
  }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int i = 0; i < parts; i++) {
    int64_t begin, end;
    kernel_split(total, parts, i, &begin, &end);
    body(context, begin, end, i);
  }
}
