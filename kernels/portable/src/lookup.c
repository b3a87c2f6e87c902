/* A table of 256 results for 8-bit integers. */
#include "parallel.h"
#include "problem.h"

enum { CHUNK = 4096 }; /* elements that a thread takes at least */

struct kp_prepared {
  int64_t count;
  uint8_t flip; /* what turns an element's byte into its place from the smallest */
  int threads;
};

typedef struct {
  const kp_prepared *p;
  const uint8_t *x, *table;
  uint8_t *y;
} lookup_job;

static double work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), (double)kp_elements(problem->outputs) * 0.3e-9);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW | LAYOUT_NHWC))
    return;
  answer->may_overwrite = 1;
  answer_yes(problem, answer, work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  p->count = kp_elements(problem->outputs);
  p->flip = problem->inputs->dl.dtype.code == kDLInt ? 0x80 : 0;
  p->threads = kernel_threads(work(problem), problem->threads);
  *prepared = p;
  return KP_OK;
}

static void part(const void *context, int64_t begin, int64_t end, int number) {
  (void)number;
  const lookup_job *job = context;
  const uint8_t flip = job->p->flip;
  const int64_t last = end * CHUNK < job->p->count ? end * CHUNK : job->p->count;
  for (int64_t i = begin * CHUNK; i < last; i++) job->y[i] = job->table[job->x[i] ^ flip];
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const lookup_job job = {p, buffers[0], buffers[1], buffers[2]};
  parallel_for(p->threads, (p->count + CHUNK - 1) / CHUNK, part, &job);
  return KP_OK;
}

#define LOOKUP(short_name)                          \
  {KERNEL("portable.lookup.table." #short_name),    \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared}
static const kp_kernel list[] = {LOOKUP(u8), LOOKUP(i8)};
const kp_kernel_list lookup_kernels = KERNEL_LIST(list);
