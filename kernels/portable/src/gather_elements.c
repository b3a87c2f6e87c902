/* Elements along an axis, by an index each. */
#include "along.h"
#include "parallel.h"

/* One line of `n` indices; returns 1 if any is out of range. `step` is what lies between the
 * elements of x from which neighbouring indices count. */
typedef int line_function(const void *x, const void *indices, void *y, int64_t n, int64_t step,
                          const along *walk);

struct kp_prepared {
  along walk;
  line_function *line;
  int threads, size, index_size;
  int64_t count;
};

#define LINE(bits, index_bits)                                                           \
  static int line_##bits##_##index_bits(const void *from, const void *indices, void *to, \
                                        int64_t n, int64_t step, const along *walk) {    \
    const uint##bits##_t *x = from;                                                      \
    const int##index_bits##_t *index = indices;                                          \
    uint##bits##_t *y = to;                                                              \
    const int64_t extent = walk->axis_extent, stride = walk->axis_stride;                \
    int outside = 0;                                                                     \
    for (int64_t i = 0; i < n; i++) {                                                    \
      const int64_t place = place_of(index[i], extent);                                  \
      outside |= place < 0;                                                              \
      y[i] = x[i * step + (place < 0 ? 0 : place) * stride];                             \
    }                                                                                    \
    return outside;                                                                      \
  }
#define LINES(bits) LINE(bits, 32) LINE(bits, 64)
LINES(8)
LINES(16)
LINES(32)
LINES(64)

static line_function *line_of(int size, int wide) {
  switch (size) {
    case 1:
      return wide ? line_8_64 : line_8_32;
    case 2:
      return wide ? line_16_64 : line_16_32;
    case 4:
      return wide ? line_32_64 : line_32_32;
    default:
      return wide ? line_64_64 : line_64_32;
  }
}

/* An index and two elements each, and what it takes to compute where they lie. */
static double work(const kp_problem *problem) {
  const kp_tensor *y = &problem->outputs[0];
  return work_seconds(2.0 * (double)kp_bytes(y) + (double)kp_bytes(&problem->inputs[1]),
                      0.6e-9 * (double)kp_elements(y));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer_yes(problem, answer, work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0], *indices = &problem->inputs[1];
  p->walk = along_make(x, indices, (int)kp_integer(problem, "axis", 0, 0));
  p->line = line_of(element_size(x), are_wide(indices));
  p->threads = kernel_threads(work(problem), problem->threads);
  p->size = element_size(x);
  p->index_size = element_size(indices);
  p->count = kp_elements(indices);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *x, *indices;
  char *y;
  int *outside;
} gather_job;

static void gather_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const gather_job *job = context;
  const kp_prepared *p = job->p;
  along_walk walk;
  int outside = 0;
  along_seek(&p->walk, begin, &walk);
  for (int64_t i = begin; i < end; along_next(&p->walk, &walk)) {
    const int64_t n = kernel_min(along_ahead(&p->walk, &walk), end - i);
    outside |= p->line(job->x + walk.place * p->size, job->indices + i * p->index_size,
                       job->y + i * p->size, n, p->walk.stride[p->walk.ndim - 1], &p->walk);
    i += n;
  }
  note_outside(job->outside, outside);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  int outside = 0;
  const gather_job job = {p, buffers[0], buffers[1], buffers[2], &outside};
  parallel_for(p->threads, p->count, gather_part, &job);
  return outside ? KP_INVALID_ARGUMENT : KP_OK;
}

#define KERNELS(short_name, type)                        \
  {KERNEL("portable.gather_elements.copy." #short_name), \
   .context = &(const element)ELEMENT_##short_name,      \
   .query = query,                                       \
   .prepare = prepare,                                   \
   .run = run,                                           \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list gather_elements_kernels = KERNEL_LIST(list);
