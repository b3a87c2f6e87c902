/* Slices along an axis, by index. */
#include "indices.h"
#include "parallel.h"

struct kp_prepared {
  int threads, wide_indices;            /* int64, else int32 */
  int64_t rows, extent, indices, bytes; /* bytes of a slice of one row */
};

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer_yes(problem, answer, work_seconds(2.0 * (double)kp_bytes(&problem->outputs[0]), 0));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0], *indices = &problem->inputs[1];
  const int axis = (int)kp_integer(problem, "axis", 0, 0);
  *p = (kp_prepared){
      .threads = kernel_threads(work_seconds(2.0 * (double)kp_bytes(&problem->outputs[0]), 0),
                                problem->threads),
      .wide_indices = are_wide(indices),
      .rows = extent_product(x->dl.shape, 0, axis),
      .extent = x->dl.shape[axis],
      .indices = kp_elements(indices),
      .bytes = extent_product(x->dl.shape, axis + 1, x->dl.ndim) * element_size(x)};
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *x;
  const void *indices;
  char *y;
} gather_job;

static void gather_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const gather_job *job = context;
  const kp_prepared *p = job->p;
  for (int64_t i = begin; i < end; i++) {
    const int64_t index = index_at(p->wide_indices, job->indices, i % p->indices);
    const int64_t place = place_of(index, p->extent);
    const char *from = job->x + (i / p->indices * p->extent + place) * p->bytes;
    char *to = job->y + i * p->bytes;
    if (p->bytes == 4)
      memcpy(to, from, 4);
    else if (p->bytes == 8)
      memcpy(to, from, 8);
    else
      memcpy(to, from, (size_t)p->bytes);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const gather_job job = {p, buffers[0], buffers[1], buffers[2]};
  if (p->rows * p->bytes == 0) return KP_OK;
  for (int64_t i = 0; i < p->indices; i++)
    if (place_of(index_at(p->wide_indices, buffers[1], i), p->extent) < 0)
      return KP_INVALID_ARGUMENT;
  parallel_for(p->threads, p->rows * p->indices, gather_part, &job);
  return KP_OK;
}

#define KERNELS(short_name, type)                   \
  {KERNEL("portable.gather.copy." #short_name),     \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list gather_kernels = KERNEL_LIST(list);
