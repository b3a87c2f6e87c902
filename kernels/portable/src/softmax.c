/* Softmax and its logarithm along an axis. */
#include "parallel.h"
#include "wide.h"
#include "widen.h"

typedef struct {
  int is_log;
} softmax_kind;

struct kp_prepared {
  int is_log, threads;
  int64_t rows, count, inner; /* the axis has `count` entries, `inner` elements apart */
};

static int softmax_axis(const kp_problem *problem) {
  const int axis = (int)kp_integer(problem, "axis", 0, -1);
  return axis < 0 ? axis + problem->inputs[0].dl.ndim : axis;
}

/* As measured: of each row, or columns that lie together, and each element. */
static double softmax_work(const kp_problem *problem) {
  const DLTensor *x = &problem->inputs[0].dl;
  const double each = REAL_BITS == 64 ? 1.5e-8 : 8e-9 / REAL_LANES;
  const double rows = (double)extent_product(x->shape, 0, softmax_axis(problem));
  return work_seconds(problem_bytes(problem),
                      rows * 25e-9 + each * (double)kp_elements(&problem->inputs[0]));
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
  answer_yes(problem, answer, softmax_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  const int axis = softmax_axis(problem);
  p->is_log = ((const softmax_kind *)kernel->context)->is_log;
  p->threads = kernel_threads(softmax_work(problem), problem->threads);
  p->rows = extent_product(x->shape, 0, axis);
  p->count = axis < x->ndim ? x->shape[axis] : 1;
  p->inner = extent_product(x->shape, axis + 1, x->ndim);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const real *x;
  real *y;
} softmax_job;

enum { SHORT = 4 }; /* vectors of a row that stays in registers */
#define UNROLL _Pragma("GCC unroll 4")

/*
 * e^x for x <= 0, and 0 for what is less than 2^-124. Processors take a hundred times as long for
 * numbers below the normal ones, which masks like -100 make, and so would the product that follows.
 */
LEVEL_INLINE realv exp_or_zero(realv x) {
#if REAL_BITS == 64
  return exp_real(x);
#else
  const f32v lowest = broadcast_f32(-86.5f);
  return select_f32(x < lowest, (f32v){0}, exp_within_f32(max_f32(lowest, x)));
#endif
}

LEVEL_INLINE realv exponential(const real *x, real *y, realv largest, int keeps) {
  const realv e = exp_or_zero(load_real(x) - largest);
  if (keeps) store_real(y, e);
  return e;
}

/* y = e^(x - largest), if they are kept, of at most 2 * RUN_STEPS vectors; returns their sum. */
LEVEL_INLINE real exponentials_of(const real *x, real *y, int64_t n, realv largest, int keeps) {
  realv sums[2] = {{0}};
  int64_t i = 0;
  for (; i + 2 * (int)REAL_LANES <= n; i += 2 * REAL_LANES)
    for (int k = 0; k < 2; k++) {
      const int64_t at = i + k * (int)REAL_LANES;
      sums[k] += exponential(x + at, y + at, largest, keeps);
    }
  if (i + (int)REAL_LANES <= n) {
    sums[0] += exponential(x + i, y + i, largest, keeps);
    i += REAL_LANES;
  }
  if (i < n) {
    const int lanes = (int)(n - i);
    const realv e = exp_or_zero(load_real_first(x + i, lanes) - largest);
    if (keeps) store_real_first(y + i, e, lanes);
    sums[1] += select_real(REAL_IOTA < lanes, e, (realv){0});
  }
  return across_sum(sums[0] + sums[1])[0];
}

/* The same of any number. */
LEVEL_INLINE double exponentials(const real *x, real *y, int64_t n, real largest, int keeps) {
  const realv from = broadcast_real(largest);
  const int64_t size = 2 * RUN_STEPS * (int)REAL_LANES;
  double sum = 0;
  for (int64_t i = 0; i < n; i += size)
    sum += exponentials_of(x + i, y + i, kernel_min(size, n - i), from, keeps);
  return sum;
}

/* y = x * by, or x - first - by. */
LEVEL_INLINE void finish(const real *x, real *y, int64_t n, int is_log, real first, real by) {
  const realv from = broadcast_real(first), last = broadcast_real(by);
  int64_t i = 0;
  for (; i + (int)REAL_LANES <= n; i += REAL_LANES) {
    const realv v = load_real(x + i);
    store_real(y + i, is_log ? v - from - last : v * last);
  }
  if (i == n) return;
  const realv v = load_real_first(x + i, (int)(n - i));
  store_real_first(y + i, is_log ? v - from - last : v * last, (int)(n - i));
}

/* A row of `vectors`, all in registers; `lanes` of the last one count. */
LEVEL_INLINE void short_row(const real *x, real *y, int vectors, int lanes) {
  realv v[SHORT], largest = broadcast_real(-(real)INFINITY), sum = {0};
  const int last = vectors - 1;
  UNROLL for (int i = 0; i < last; i++) v[i] = load_real(x + i * (int)REAL_LANES);
  v[last] = select_real(REAL_IOTA < lanes, load_real_first(x + last * (int)REAL_LANES, lanes),
                        broadcast_real(-(real)INFINITY));
  UNROLL for (int i = 0; i < vectors; i++) largest = maximum_real(v[i], largest);
  largest = across_largest(largest);
  UNROLL for (int i = 0; i < vectors; i++) {
    v[i] = exp_or_zero(v[i] - largest);
    sum += v[i];
  }
  const realv scale = 1 / across_sum(sum);
  UNROLL for (int i = 0; i < last; i++) store_real(y + i * (int)REAL_LANES, v[i] * scale);
  store_real_first(y + last * (int)REAL_LANES, v[last] * scale, lanes);
}

#define SHORT_ROWS(vectors)                                                             \
  case vectors:                                                                         \
    for (int64_t i = 0; i < rows; i++) short_row(x + i * n, y + i * n, vectors, lanes); \
    break

/* Rows of at most SHORT vectors. */
static void short_rows(const real *x, real *y, int64_t rows, int n) {
  const int count = (n + (int)REAL_LANES - 1) / (int)REAL_LANES;
  const int lanes = n - (count - 1) * (int)REAL_LANES;
  switch (count) {
    SHORT_ROWS(1);
    SHORT_ROWS(2);
    SHORT_ROWS(3);
    SHORT_ROWS(4);
    default:
      break;
  }
}

static void softmax_rows(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const softmax_job *job = context;
  const int64_t n = job->p->count;
  if (REAL_BITS == 32 && !job->p->is_log && n <= SHORT * (int)REAL_LANES) {
    short_rows(job->x + begin * n, job->y + begin * n, end - begin, (int)n);
    return;
  }
  for (int64_t row = begin; row < end; row++) {
    const real *x = job->x + row * n;
    real *y = job->y + row * n;
    const real largest = largest_of(x, n);
    if (job->p->is_log)
      finish(x, y, n, 1, largest, (real)log(exponentials(x, y, n, largest, 0)));
    else
      finish(y, y, n, 0, 0, (real)(1 / exponentials(x, y, n, largest, 1)));
  }
}

/* REAL_LANES columns at a time, or the `lanes` that are left. */
static void softmax_columns_of(const kp_prepared *p, const real *x, real *y, int lanes) {
  realv largest = broadcast_real(-(real)INFINITY), sum = {0}, run = {0};
  for (int64_t i = 0; i < p->count; i++)
    largest = maximum_real(load_real_first(x + i * p->inner, lanes), largest);
  for (int64_t i = 0; i < p->count; i++) {
    const realv shifted = load_real_first(x + i * p->inner, lanes) - largest;
    const realv e = exp_or_zero(shifted);
    run += e;
    if (i % RUN_STEPS == RUN_STEPS - 1) {
      sum += run;
      run = (realv){0};
    }
    store_real_first(y + i * p->inner, p->is_log ? shifted : e, lanes);
  }
  sum += run;
  const realv last = p->is_log ? log_real(sum) : 1 / sum;
  for (int64_t i = 0; i < p->count; i++) {
    real *at = y + i * p->inner;
    const realv v = load_real_first(at, lanes);
    store_real_first(at, p->is_log ? v - last : v * last, lanes);
  }
}

static void softmax_columns(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const softmax_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t groups = (p->inner + REAL_LANES - 1) / REAL_LANES;
  for (int64_t i = begin; i < end; i++) {
    const int64_t column = i % groups * REAL_LANES, rest = p->inner - column;
    const int64_t offset = i / groups * p->count * p->inner + column;
    softmax_columns_of(p, job->x + offset, job->y + offset,
                       rest < (int64_t)REAL_LANES ? (int)rest : (int)REAL_LANES);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const softmax_job job = {p, buffers[0], buffers[1]};
  if (p->inner == 1)
    parallel_for(p->threads, p->rows, softmax_rows, &job);
  else if (p->inner)
    parallel_for(p->threads, p->rows * ((p->inner + REAL_LANES - 1) / REAL_LANES), softmax_columns,
                 &job);
  return KP_OK;
}

#define SOFTMAX(operator_name, suffix, log)           \
  {KERNEL("portable." operator_name ".simd." suffix), \
   .context = &(const softmax_kind){log},             \
   .query = query,                                    \
   .prepare = prepare,                                \
   .run = run,                                        \
   .release = release_prepared}
#if REAL_BITS == 64
static const kp_kernel list[] = {SOFTMAX("softmax", "f64", 0), SOFTMAX("log_softmax", "f64", 1)};
const kp_kernel_list LEVEL_NAME(softmax_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {SOFTMAX("softmax", "f32", 0), SOFTMAX("log_softmax", "f32", 1),
                                 WIDENED_HALVES("softmax", list[0]),
                                 WIDENED_HALVES("log_softmax", list[1])};
const kp_kernel_list LEVEL_NAME(softmax_kernels) = KERNEL_LIST(list);
#endif
