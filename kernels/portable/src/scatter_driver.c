/* Threads share the columns, never the updates of one, so that their order is kept. */
#include "along.h"
#include "copy.h"
#include "parallel.h"
#include "scatter.h"
#include "tuples.h"

enum { LEAST = 64 }; /* elements of a row that a thread takes at least */

struct kp_prepared {
  scatter_function *function;
  int threads, size, wide;
  int64_t elements, updates; /* of y; of the updates */
  scatter_walk walk;
  int64_t outer, chunk; /* how many such walks, each in chunks of columns */
  union {
    along along; /* of elements */
    tuples tuples;
  } of;
};

static int reduction_of(const kp_problem *problem) {
  static const char *const names[SCATTER_REDUCTIONS] = {"none", "add", "mul", "max", "min"};
  const char *name = kp_string(problem, "reduction", "none");
  int i = SCATTER_REDUCTIONS - 1;
  while (i && strcmp(names[i], name) != 0) i--;
  return i;
}

static double work(const kp_problem *problem) {
  const kp_tensor *y = &problem->outputs[0], *updates = &problem->inputs[2];
  const double bytes = 2.0 * (double)kp_bytes(y) + 2.0 * (double)kp_bytes(updates) +
                       3.0 * (double)kp_bytes(&problem->inputs[1]);
  return work_seconds(bytes, 1e-9 * (double)kp_elements(&problem->inputs[1]) +
                                 0.3e-9 * (double)kp_elements(updates));
}

void scatter_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                   kp_answer *answer) {
  (void)pack;
  const scatter_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  if (!context->functions[reduction_of(problem)]) {
    kp_refuse(answer, KP_NO_ATTRIBUTE, "reduction", "none");
    return;
  }
  answer->may_overwrite = 1;
  /* A place for each update at most: tuples are fewer than their indices. */
  answer->scratch_bytes = (uint64_t)kp_elements(&problem->inputs[1]) * sizeof(int64_t);
  answer_yes(problem, answer, work(problem));
}

static kp_prepared *make(const kp_kernel *kernel, const kp_problem *problem) {
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return NULL;
  const scatter_context *context = kernel->context;
  const kp_tensor *x = &problem->inputs[0];
  p->function = context->functions[reduction_of(problem)];
  p->threads = kernel_threads(work(problem), problem->threads);
  p->size = element_size(x);
  p->wide = are_wide(&problem->inputs[1]);
  p->elements = kp_elements(x);
  p->updates = kp_elements(&problem->inputs[2]);
  return p;
}

static void share(kp_prepared *p) {
  const int64_t width = p->walk.width, threads = p->threads;
  p->chunk = p->outer >= threads ? width : kernel_round_up((width + threads - 1) / threads, LEAST);
}

kp_status scatter_nd_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                             const void *const *constants, kp_prepared **prepared,
                             kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = make(kernel, problem);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0];
  p->of.tuples = tuples_make(problem, 0);
  const int64_t slice = extent_product(x->dl.shape, p->of.tuples.depth, x->dl.ndim);
  p->outer = 1;
  p->walk = (scatter_walk){.count = p->of.tuples.count,
                           .width = slice,
                           .update_step = slice,
                           .place_step = 1,
                           .y_step = 1};
  share(p);
  *prepared = p;
  return KP_OK;
}

kp_status scatter_elements_prepare(kp_pack *pack, const kp_kernel *kernel,
                                   const kp_problem *problem, const void *const *constants,
                                   kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = make(kernel, problem);
  if (!p) return refuse_memory(error);
  const kp_tensor *indices = &problem->inputs[1];
  const int axis = (int)kp_integer(problem, "axis", 0, 0);
  const int64_t inner = extent_product(indices->dl.shape, axis + 1, indices->dl.ndim);
  p->of.along = along_make(&problem->inputs[0], indices, axis);
  p->outer = extent_product(indices->dl.shape, 0, axis);
  p->walk = (scatter_walk){.count = indices->dl.shape[axis],
                           .width = inner,
                           .update_step = inner,
                           .place_step = inner,
                           .place_next = 1};
  share(p);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *updates;
  const int64_t *places;
  char *y;
} scatter_job;

static int64_t chunks_of(const kp_prepared *p) {
  return p->chunk ? (p->walk.width + p->chunk - 1) / p->chunk : 0;
}

static void scatter_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const scatter_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t chunks = chunks_of(p), size = p->size;
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = i % chunks * p->chunk;
    const int64_t at = i / chunks * p->walk.count * p->walk.width + first;
    scatter_walk walk = p->walk;
    walk.width = kernel_min(p->chunk, p->walk.width - first);
    const int64_t *places = job->places + (walk.place_next ? at : 0);
    p->function(job->y + first * walk.y_step * size, job->updates + at * size, places, &walk);
  }
}

/* Copies x unless y has its memory, then writes the updates. */
static void scatter(const kp_prepared *p, void *const *buffers, const int64_t *places) {
  char *y = buffers[3];
  if (y != buffers[0]) {
    const strided_copy copy = {
        .ndim = 1, .size = p->size, .extent = {p->elements}, .from = {1}, .to = {1}};
    copy_run(&copy, buffers[0], y, p->threads);
  }
  const scatter_job job = {p, buffers[2], places, y};
  parallel_for(p->threads, p->outer * chunks_of(p), scatter_part, &job);
}

kp_status scatter_nd_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  if (!tuples_places(&p->of.tuples, buffers[1], scratch, p->threads)) return KP_INVALID_ARGUMENT;
  if (p->walk.width != 1) {
    int64_t *places = scratch;
    for (int64_t i = 0; i < p->walk.count; i++) places[i] *= p->walk.width;
  }
  scatter(p, buffers, scratch);
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const void *indices;
  int64_t *places;
  int *outside;
} places_job;

static void places_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const places_job *job = context;
  const along *a = &job->p->of.along;
  const int64_t step = a->stride[a->ndim - 1];
  int outside = 0;
  along_walk walk;
  along_seek(a, begin, &walk);
  for (int64_t i = begin; i < end; along_next(a, &walk)) {
    const int64_t last = i + kernel_min(along_ahead(a, &walk), end - i);
    for (int64_t beside = walk.place; i < last; i++, beside += step) {
      const int64_t place = place_of(index_at(job->p->wide, job->indices, i), a->axis_extent);
      outside |= place < 0;
      job->places[i] = beside + place * a->axis_stride;
    }
  }
  note_outside(job->outside, outside);
}

kp_status scatter_elements_run(const kp_prepared *p, void *const *buffers, void *scratch,
                               void *queue) {
  (void)queue;
  int outside = 0;
  const places_job job = {p, buffers[1], scratch, &outside};
  parallel_for(p->threads, p->updates, places_part, &job);
  if (outside) return KP_INVALID_ARGUMENT;
  scatter(p, buffers, scratch);
  return KP_OK;
}
