/* Local response normalisation across channels. */
#include "parallel.h"
#include "wide.h"
#include "widen.h"

struct kp_prepared {
  int threads;
  real alpha, beta, bias; /* alpha: over the window's size */
  int64_t channels, pixels, images, before, after;
};

static double lrn_work(const kp_problem *problem) {
  const double window = (double)kp_integer(problem, "size", 0, 1);
  const double each = REAL_BITS == 64 ? 3e-8 : 3e-9;
  return work_seconds(problem_bytes(problem),
                      (each + 0.1e-9 * window) * (double)kp_elements(&problem->inputs[0]));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  static const element type = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer_yes(problem, answer, lrn_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  const int64_t size = kp_integer(problem, "size", 0, 1);
  *p = (kp_prepared){.threads = kernel_threads(lrn_work(problem), problem->threads),
                     .alpha = (real)(kp_real(problem, "alpha", 0, 1e-4) / (double)size),
                     .beta = (real)kp_real(problem, "beta", 0, 0.75),
                     .bias = (real)kp_real(problem, "bias", 0, 1),
                     .channels = x->shape[1],
                     .pixels = extent_product(x->shape, 2, x->ndim),
                     .images = x->shape[0],
                     .before = (size - 1) / 2,
                     .after = size / 2};
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const real *x;
  real *y;
} lrn_job;

/* One channel's plane. */
static void normalize_planes(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const lrn_job *job = context;
  const kp_prepared *p = job->p;
  for (int64_t plane = begin; plane < end; plane++) {
    const int64_t channel = plane % p->channels;
    const int64_t first = channel < p->before ? -channel : -p->before;
    const int64_t rest = p->channels - 1 - channel, last = rest < p->after ? rest : p->after;
    const real *x = job->x + plane * p->pixels;
    real *y = job->y + plane * p->pixels;
    for (int64_t i = 0; i < p->pixels; i += REAL_LANES) {
      const int lanes = p->pixels - i < (int)REAL_LANES ? (int)(p->pixels - i) : (int)REAL_LANES;
      realv squares = {0};
      for (int64_t k = first; k <= last; k++) {
        const realv v = load_real_first(x + k * p->pixels + i, lanes);
        squares = fma_real(v, v, squares);
      }
      const realv base = p->bias + p->alpha * squares;
      const realv power = exp_real(-p->beta * log_real(base));
      store_real_first(y + i, load_real_first(x + i, lanes) * power, lanes);
    }
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const lrn_job job = {p, buffers[0], buffers[1]};
  parallel_for(p->threads, p->images * p->channels, normalize_planes, &job);
  return KP_OK;
}

#define LRN(suffix)                                                                     \
  {KERNEL("portable.lrn.simd." suffix), .query = query, .prepare = prepare, .run = run, \
   .release = release_prepared}
#if REAL_BITS == 64
static const kp_kernel list[] = {LRN("f64")};
const kp_kernel_list LEVEL_NAME(lrn_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {LRN("f32"), WIDENED_HALVES("lrn", list[0])};
const kp_kernel_list LEVEL_NAME(lrn_kernels) = KERNEL_LIST(list);
#endif
