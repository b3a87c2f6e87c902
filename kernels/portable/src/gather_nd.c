/* Slices by tuples of indices. */
#include "parallel.h"
#include "tuples.h"

struct kp_prepared {
  tuples tuples;
  int threads;
  int64_t bytes; /* of a slice */
};

static double work(const kp_problem *problem) {
  const kp_tensor *indices = &problem->inputs[1];
  return work_seconds(
      2.0 * (double)kp_bytes(&problem->outputs[0]) + 3.0 * (double)kp_bytes(indices),
      1e-9 * (double)kp_elements(indices));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  /* Places: tuples are no more than their indices. */
  answer->scratch_bytes = (uint64_t)kp_elements(&problem->inputs[1]) * sizeof(int64_t);
  answer_yes(problem, answer, work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0];
  const int batch_dims = (int)kp_integer(problem, "batch_dims", 0, 0);
  p->tuples = tuples_make(problem, batch_dims);
  p->threads = kernel_threads(work(problem), problem->threads);
  p->bytes =
      extent_product(x->dl.shape, batch_dims + p->tuples.depth, x->dl.ndim) * element_size(x);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *x;
  const int64_t *places;
  char *y;
} gather_job;

static void gather_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const gather_job *job = context;
  const int64_t bytes = job->p->bytes;
  for (int64_t i = begin; i < end; i++) {
    const char *from = job->x + job->places[i] * bytes;
    char *to = job->y + i * bytes;
    if (bytes == 4)
      memcpy(to, from, 4);
    else if (bytes == 8)
      memcpy(to, from, 8);
    else
      memcpy(to, from, (size_t)bytes);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  if (!tuples_places(&p->tuples, buffers[1], scratch, p->threads)) return KP_INVALID_ARGUMENT;
  const gather_job job = {p, buffers[0], scratch, buffers[2]};
  if (p->bytes) parallel_for(p->threads, p->tuples.count, gather_part, &job);
  return KP_OK;
}

#define KERNELS(short_name, type)                   \
  {KERNEL("portable.gather_nd.copy." #short_name),  \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list gather_nd_kernels = KERNEL_LIST(list);
