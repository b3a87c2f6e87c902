#include "finish.h"

#include <math.h>
#include <string.h>

enum { PART = 4096, SERIAL = 32 * 1024 }; /* floats */

int finish_of_epilogue(const kp_problem *problem, struct finish *finish) {
  if (problem->num_epilogues == 0 || !kp_is_dtype(problem->outputs, kDLFloat, 32)) return 0;
  const kp_epilogue *last = &problem->epilogues[problem->num_epilogues - 1];
  const int is_relu = strcmp(last->name, "relu") == 0;
  if (!is_relu && strcmp(last->name, "clip") != 0) return 0;
  const double minimum = is_relu ? 0 : last->alpha, maximum = is_relu ? INFINITY : last->beta;
  if (!(minimum <= 0 && 0 <= maximum)) return 0;
  *finish = (struct finish){.is_used = 1,
                            .minimum = (float)minimum,
                            .maximum = (float)maximum,
                            .count = kp_bytes(problem->outputs) / (int64_t)sizeof(float),
                            .threads = problem->threads};
  return 1;
}

/* The output was written just now: it lies in a cache. */
double finish_seconds(const struct finish *finish) {
  return finish->is_used ? (double)finish->count * 8 / 30e9 / finish->threads : 0;
}

__attribute__((target_clones("avx512f", "avx2", "default"))) static void bound(float *y,
                                                                               int64_t count,
                                                                               float minimum,
                                                                               float maximum) {
  for (int64_t i = 0; i < count; i++) {
    const float above = y[i] < minimum ? minimum : y[i];
    y[i] = above > maximum ? maximum : above;
  }
}

void finish_run(const struct finish *finish, float *y) {
  const int64_t parts = (finish->count + PART - 1) / PART;
#pragma omp parallel for schedule(static) \
    num_threads(finish->threads) if (finish->threads > 1 && finish->count > SERIAL)
  for (int64_t i = 0; i < parts; i++) {
    const int64_t begin = i * PART, left = finish->count - begin;
    bound(y + begin, left < PART ? left : PART, finish->minimum, finish->maximum);
  }
}
