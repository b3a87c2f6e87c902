#include "tuples.h"

#include "parallel.h"

tuples tuples_make(const kp_problem *problem, int batch_dims) {
  const kp_tensor *x = &problem->inputs[0], *indices = &problem->inputs[1];
  const int rank = indices->dl.ndim - 1;
  tuples t = {.wide = are_wide(indices),
              .depth = (int)indices->dl.shape[rank],
              .count = extent_product(indices->dl.shape, 0, rank),
              .each = extent_product(indices->dl.shape, batch_dims, rank)};
  t.batch = extent_product(x->dl.shape, batch_dims, batch_dims + t.depth);
  for (int i = 0; i < t.depth; i++) {
    t.extent[i] = x->dl.shape[batch_dims + i];
    t.stride[i] = extent_product(x->dl.shape, batch_dims + i + 1, batch_dims + t.depth);
  }
  return t;
}

typedef struct {
  const tuples *t;
  const void *indices;
  int64_t *places;
  int *outside;
} places_job;

static void places_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const places_job *job = context;
  const tuples *t = job->t;
  int outside = 0;
  for (int64_t i = begin; i < end; i++) {
    int64_t place = i / t->each * t->batch;
    for (int k = 0; k < t->depth; k++) {
      const int64_t along =
          place_of(index_at(t->wide, job->indices, i * t->depth + k), t->extent[k]);
      outside |= along < 0;
      place += along * t->stride[k];
    }
    job->places[i] = place;
  }
  note_outside(job->outside, outside);
}

int tuples_places(const tuples *t, const void *indices, int64_t *places, int threads) {
  int outside = 0;
  const places_job job = {t, indices, places, &outside};
  parallel_for(threads, t->count, places_part, &job);
  return !outside;
}
