/* Normalisation over the trailing axes. */
#include "parallel.h"
#include "wide.h"
#include "widen.h"

struct kp_prepared {
  double epsilon;
  int threads;
  int64_t rows, count;
};

static double layer_norm_work(const kp_problem *problem) {
  const DLTensor *x = &problem->inputs[0].dl;
  const int axis = (int)kp_integer(problem, "axis", 0, x->ndim - 1);
  const double rows = (double)extent_product(x->shape, 0, axis);
  const double each = 1.6e-9 / REAL_LANES * (double)kp_elements(&problem->inputs[0]);
  return work_seconds(problem_bytes(problem), 15e-9 * rows + each);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  static const element type = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer->may_overwrite = 1;
  answer_yes(problem, answer, layer_norm_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  const int axis = (int)kp_integer(problem, "axis", 0, x->ndim - 1);
  p->epsilon = kp_real(problem, "epsilon", 0, 1e-5);
  p->threads = kernel_threads(layer_norm_work(problem), problem->threads);
  p->rows = extent_product(x->shape, 0, axis);
  p->count = extent_product(x->shape, axis, x->ndim);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const real *x, *scale, *bias; /* bias may be NULL */
  real *y;
} layer_norm_job;

/* y = (x - mean) * factor * scale + bias. */
LEVEL_INLINE void normalize_row(const real *x, const real *scale, const real *bias, real *y,
                                int64_t n, real mean, real factor) {
  const realv means = broadcast_real(mean), factors = broadcast_real(factor);
  int64_t i = 0;
  for (; i + (int)REAL_LANES <= n; i += REAL_LANES) {
    const realv v = (load_real(x + i) - means) * factors * load_real(scale + i);
    store_real(y + i, bias ? v + load_real(bias + i) : v);
  }
  if (i == n) return;
  const int lanes = (int)(n - i);
  const realv v =
      (load_real_first(x + i, lanes) - means) * factors * load_real_first(scale + i, lanes);
  store_real_first(y + i, bias ? v + load_real_first(bias + i, lanes) : v, lanes);
}

static void normalize_rows(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const layer_norm_job *job = context;
  const int64_t n = job->p->count;
  const double share = 1 / (double)n;
  for (int64_t row = begin; row < end; row++) {
    const real *x = job->x + row * n;
    real *y = job->y + row * n;
    const double mean = sum_of(x, n) * share;
    const double variance = squares_of(x, n, mean) * share;
    const real factor = (real)(1 / sqrt(variance + job->p->epsilon));
    if (job->bias)
      normalize_row(x, job->scale, job->bias, y, n, (real)mean, factor);
    else
      normalize_row(x, job->scale, NULL, y, n, (real)mean, factor);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const layer_norm_job job = {p, buffers[0], buffers[1], buffers[2], buffers[3]};
  parallel_for(p->threads, p->rows, normalize_rows, &job);
  return KP_OK;
}

#define LAYER_NORM(suffix)                                                                     \
  {KERNEL("portable.layer_norm.simd." suffix), .query = query, .prepare = prepare, .run = run, \
   .release = release_prepared}
#if REAL_BITS == 64
static const kp_kernel list[] = {LAYER_NORM("f64")};
const kp_kernel_list LEVEL_NAME(layer_norm_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {LAYER_NORM("f32"), WIDENED_HALVES("layer_norm", list[0])};
const kp_kernel_list LEVEL_NAME(layer_norm_kernels) = KERNEL_LIST(list);
#endif
