/*
 * "channel_shuffle": whole planes change places where channels lie first; where they lie last, each
 * pixel's groups are interleaved.
 */
#include "copy.h"
#include "parallel.h"

enum { PIXELS = 64 }; /* that a thread takes at least */

struct kp_prepared {
  int64_t count, groups, channels; /* pixels, where channels lie last; channels of a group */
  int size, threads, interleaves;
  strided_copy planes;
};

typedef struct {
  const kp_prepared *p;
  const char *x;
  char *y;
} shuffle_job;

/* ---- Channels last -------------------------------------------------------------------------- */

#define LOOP(number)                     \
  for (int64_t i = 0; i < channels; i++) \
    for (int64_t k = 0; k < (number); k++) y[i * (number) + k] = x[k * channels + i];

/* A number of groups that the compiler knows becomes shuffles of vectors. */
#define INTERLEAVE(bits)                                                                        \
  static void interleave_##bits(const void *from, void *to, int64_t channels, int64_t groups) { \
    const uint##bits##_t *restrict x = from;                                                    \
    uint##bits##_t *restrict y = to;                                                            \
    if (groups == 2) {                                                                          \
      LOOP(2)                                                                                   \
    } else if (groups == 3) {                                                                   \
      LOOP(3)                                                                                   \
    } else if (groups == 4) {                                                                   \
      LOOP(4)                                                                                   \
    } else if (groups == 8) {                                                                   \
      LOOP(8)                                                                                   \
    } else {                                                                                    \
      LOOP(groups)                                                                              \
    }                                                                                           \
  }
INTERLEAVE(8)
INTERLEAVE(16)
INTERLEAVE(32)
INTERLEAVE(64)

static void interleave_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const shuffle_job *job = context;
  const kp_prepared p = *job->p;
  const int64_t pixel = p.groups * p.channels * p.size;
  const int64_t last = end * PIXELS < p.count ? end * PIXELS : p.count;
  for (int64_t i = begin * PIXELS; i < last; i++)
    (p.size == 1   ? interleave_8
     : p.size == 2 ? interleave_16
     : p.size == 4 ? interleave_32
                   : interleave_64)(job->x + i * pixel, job->y + i * pixel, p.channels, p.groups);
}

/* ---- The kernel ----------------------------------------------------------------------------- */

static int lies_last(const kp_problem *problem) { return kp_is_layout(problem->inputs, "nhwc"); }

/* Interleaving takes as long whatever the elements' size. */
static double work(const kp_problem *problem, int interleaves) {
  const int64_t groups = kp_integer(problem, "groups", 0, 1);
  const double element = groups == 2 || groups == 4 || groups == 8 ? 0.05e-9 : 0.2e-9;
  const double elements = (double)kp_elements(problem->outputs);
  return work_seconds(problem_bytes(problem), interleaves ? elements * element : 0);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW | LAYOUT_NHWC))
    return;
  answer_yes(problem, answer, work(problem, strcmp(answer->layouts[0], "nhwc") == 0));
}

static strided_copy planes_of(const DLTensor *x, int64_t groups, int size) {
  const int64_t channels = x->shape[1] / groups, plane = extent_product(x->shape, 2, x->ndim);
  const int64_t all = x->shape[1] * plane;
  strided_copy c = {.ndim = 4,
                    .size = size,
                    .extent = {x->shape[0], channels, groups, plane},
                    .from = {all, plane, channels * plane, 1},
                    .to = {all, groups * plane, plane, 1}};
  copy_simplify(&c);
  return c;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs->dl;
  p->groups = kp_integer(problem, "groups", 0, 1);
  p->channels = x->shape[1] / p->groups;
  p->count = x->shape[0] * extent_product(x->shape, 2, x->ndim);
  p->size = element_size(problem->inputs);
  p->interleaves = lies_last(problem);
  p->threads = kernel_threads(work(problem, p->interleaves), problem->threads);
  p->planes = planes_of(x, p->groups, p->size);
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const shuffle_job job = {p, buffers[0], buffers[1]};
  if (p->interleaves)
    parallel_for(p->threads, (p->count + PIXELS - 1) / PIXELS, interleave_part, &job);
  else
    copy_run(&p->planes, buffers[0], buffers[1], p->threads);
  return KP_OK;
}

#define KERNELS(name, type)                        \
  {KERNEL("portable.channel_shuffle.copy." #name), \
   .context = &(const element)ELEMENT_##name,      \
   .query = query,                                 \
   .prepare = prepare,                             \
   .run = run,                                     \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list channel_shuffle_kernels = KERNEL_LIST(list);
