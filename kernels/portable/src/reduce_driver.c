#include "reduce.h"

#include "parallel.h"

typedef struct {
  int ndim;
  int64_t extent[MAX_RANK], stride[MAX_RANK];
} dimensions;

struct kp_prepared {
  const reduce_context *context;
  dimensions kept, reduced; /* but the innermost of all, which is a run or columns */
  int reduces_inner, threads, size;
  int64_t inner, outputs, count; /* count: elements behind each output */
};

enum { COLUMNS = 256 }; /* accumulators at a time */

static double reduce_work(const reduce_context *context, const kp_problem *problem) {
  return work_seconds(problem_bytes(problem),
                      context->seconds * (double)kp_elements(&problem->inputs[0]));
}

void reduce_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const reduce_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer_yes(problem, answer, reduce_work(context, problem));
}

static void is_reduced(const kp_problem *problem, char *flags) {
  const kp_attribute *axes = kp_find_attribute(problem, "axes");
  memset(flags, 0, MAX_RANK);
  for (uint32_t i = 0; axes && i < axes->count; i++) flags[axes->integers[i]] = 1;
}

kp_status reduce_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  char reduced[MAX_RANK];
  is_reduced(problem, reduced);
  p->context = kernel->context;
  p->threads = kernel_threads(reduce_work(p->context, problem), problem->threads);
  p->size = element_size(&problem->inputs[0]);
  p->outputs = p->count = p->inner = 1;
  /* From the innermost dimension outward, neighbours of one kind as one. */
  int64_t step = 1;
  int last = -1; /* kind of the dimension before */
  for (int i = x->ndim - 1; i >= 0; i--) {
    const int64_t extent = x->shape[i];
    if (extent == 1) continue;
    *(reduced[i] ? &p->count : &p->outputs) *= extent;
    dimensions *d = reduced[i] ? &p->reduced : &p->kept;
    if (last == -1 || (last == reduced[i] && step == p->inner)) {
      p->inner *= extent;
      p->reduces_inner = reduced[i];
    } else if (last == reduced[i]) {
      d->extent[d->ndim - 1] *= extent;
    } else {
      d->extent[d->ndim] = extent;
      d->stride[d->ndim++] = step;
    }
    last = reduced[i];
    step *= extent;
  }
  *prepared = p;
  return KP_OK;
}

static int64_t offset_of(const dimensions *d, int64_t index) {
  int64_t offset = 0;
  for (int i = 0; i < d->ndim; i++) {
    offset += index % d->extent[i] * d->stride[i];
    index /= d->extent[i];
  }
  return offset;
}

typedef struct {
  const kp_prepared *p;
  const char *x;
  char *y;
} reduce_job;

/* Each output is a run, or several. */
static void reduce_runs(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const reduce_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t runs = p->inner ? p->count / p->inner : 0;
  for (int64_t i = begin; i < end; i++) {
    uint64_t accumulator;
    p->context->start(&accumulator, 1);
    const char *x = job->x + offset_of(&p->kept, i) * p->size;
    for (int64_t run = 0; run < runs; run++)
      p->context->run(x + offset_of(&p->reduced, run) * p->size, p->inner, &accumulator);
    p->context->finish(&accumulator, job->y + i * p->size, 1, p->count);
  }
}

static int64_t column_groups(const kp_prepared *p) { return (p->inner + COLUMNS - 1) / COLUMNS; }

static void reduce_columns(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const reduce_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t groups = column_groups(p);
  const int64_t rows = p->reduced.ndim ? p->reduced.extent[0] : 1; /* of one step */
  const int64_t step = p->reduced.ndim ? p->reduced.stride[0] : 0;
  for (int64_t i = begin; i < end; i++) {
    const int64_t outer = i / groups, first = i % groups * COLUMNS;
    const int64_t n = p->inner - first < COLUMNS ? p->inner - first : COLUMNS;
    uint64_t accumulators[COLUMNS];
    p->context->start(accumulators, n);
    const char *x = job->x + (offset_of(&p->kept, outer) + first) * p->size;
    for (int64_t row = 0; row < p->count; row += rows)
      p->context->columns(x + offset_of(&p->reduced, row) * p->size, rows, step, n, accumulators);
    p->context->finish(accumulators, job->y + (outer * p->inner + first) * p->size, n, p->count);
  }
}

kp_status reduce_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const reduce_job job = {p, buffers[0], buffers[1]};
  if (p->reduces_inner)
    parallel_for(p->threads, p->outputs, reduce_runs, &job);
  else if (p->outputs)
    parallel_for(p->threads, p->outputs / p->inner * column_groups(p), reduce_columns, &job);
  return KP_OK;
}
