/* Resizing by weighted sums of neighbours, linear or cubic: one axis after the other. */
#include "blocked.h"
#include "parallel.h"
#include "resize.h"
#include "wide.h"
#include "widen.h"

/* An axis that changes: `outer` times [in][inner] becomes [out][inner]. */
typedef struct {
  int64_t outer, in, out, inner;
  int32_t *index; /* [tap][out] */
  real *weight;   /* [tap][out] */
} pass;

struct kp_prepared {
  int threads, taps, num_passes;
  int64_t count;  /* of all elements, where no axis changes */
  int64_t buffer; /* elements of one of a thread's two buffers */
  pass *passes;   /* the first one's output rows are the pieces of work */
  void *tables;
  blocked_padding padding;
};

static double resize_work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), 1e-9 * (double)kp_elements(&problem->outputs[0]));
}

static int taps_of(const kp_problem *problem) {
  return strcmp(kp_string(problem, "mode", "linear"), "cubic") == 0 ? 4 : 2;
}

/* The passes without their tables. Returns their number. */
static int find_passes(const resize_axes *r, pass *passes, int64_t *buffer) {
  int count = 0;
  int64_t before = 1, widest = 0;
  for (int i = 0; i < r->ndim; i++) {
    int64_t inner = r->lanes;
    for (int k = i + 1; k < r->ndim; k++) inner *= r->axes[k].in;
    if (!resize_stays(&r->axes[i])) {
      /* Behind the first pass a piece is one of its output rows. */
      passes[count] = (pass){before, r->axes[i].in, r->axes[i].out, inner, NULL, NULL};
      if (count++ == 0) before = 1;
      const int64_t size = count == 1 ? inner : before * r->axes[i].out * inner;
      if (size > widest) widest = size;
      if (count == 1) continue;
    }
    before *= r->axes[i].out;
  }
  *buffer = kernel_round_up(widest, KP_ALIGNMENT / (int64_t)sizeof(real));
  return count;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  static const element type = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &type))
    return;
  if (strcmp(kp_string(problem, "mode", "nearest"), "nearest") == 0) {
    kp_refuse(answer, KP_NO_ATTRIBUTE, "mode", "linear or cubic");
    return;
  }
  if (resize_refuse(problem, answer)) return;
  resize_axes r;
  pass passes[MAX_RANK];
  int64_t buffer;
  resize_read(problem, answer->layouts[0], &r);
  find_passes(&r, passes, &buffer);
  answer->scratch_bytes = (uint64_t)(2 * buffer * (int64_t)sizeof(real) * problem->threads);
  answer_yes(problem, answer, resize_work(problem));
}

static void fill_tables(const kp_problem *problem, const resize_axis *axis, int taps, pass *p) {
  resize_tap found[RESIZE_TAPS];
  for (int64_t i = 0; i < axis->out; i++) {
    resize_find_taps(problem, axis, i, taps, found);
    for (int t = 0; t < taps; t++) {
      p->index[t * axis->out + i] = (int32_t)found[t].index;
      p->weight[t * axis->out + i] = (real)found[t].weight;
    }
  }
}

static void release(kp_prepared *p) {
  free(p->passes);
  free(p->tables);
  free(p);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  resize_axes r;
  resize_read(problem, problem->inputs[0].layout, &r);
  p->threads = kernel_threads(resize_work(problem), problem->threads);
  p->taps = taps_of(problem);
  p->count = stored_elements(&problem->outputs[0]);
  p->padding = padding_of(&problem->outputs[0]);
  int64_t entries = 1;
  for (int i = 0; i < r.ndim; i++) entries += r.axes[i].out * p->taps;
  p->passes = calloc((size_t)r.ndim + 1, sizeof *p->passes);
  p->tables = calloc((size_t)entries, sizeof(real) + sizeof(int32_t));
  if (!p->passes || !p->tables) {
    release(p);
    return refuse_memory(error);
  }
  p->num_passes = find_passes(&r, p->passes, &p->buffer);
  real *weight = p->tables;
  int32_t *index = (int32_t *)(weight + entries);
  for (int i = 0, next = 0; i < r.ndim; i++) {
    if (resize_stays(&r.axes[i])) continue;
    pass *one = &p->passes[next++];
    one->weight = weight;
    one->index = index;
    weight += r.axes[i].out * p->taps;
    index += r.axes[i].out * p->taps;
    fill_tables(problem, &r.axes[i], p->taps, one);
  }
  *prepared = p;
  return KP_OK;
}

/* y = the sum of `taps` lines of n elements, weighted. */
LEVEL_INLINE void weigh_lines(const pass *p, int taps, int64_t at, const real *x, real *y) {
  const real *lines[RESIZE_TAPS];
  realv weights[RESIZE_TAPS];
  for (int t = 0; t < taps; t++) {
    lines[t] = x + p->index[t * p->out + at] * p->inner;
    weights[t] = broadcast_real(p->weight[t * p->out + at]);
  }
  int64_t i = 0;
  for (; i + (int)REAL_LANES <= p->inner; i += REAL_LANES) {
    realv sum = load_real(lines[0] + i) * weights[0];
    for (int t = 1; t < taps; t++) sum = fma_real(load_real(lines[t] + i), weights[t], sum);
    store_real(y + i, sum);
  }
  if (i < p->inner) {
    const int rest = (int)(p->inner - i);
    realv sum = load_real_first(lines[0] + i, rest) * weights[0];
    for (int t = 1; t < taps; t++)
      sum = fma_real(load_real_first(lines[t] + i, rest), weights[t], sum);
    store_real_first(y + i, sum, rest);
  }
}

/* The same for a line of single elements: an axis with nothing behind it. */
LEVEL_INLINE void weigh_elements(const pass *p, int taps, const real *restrict x,
                                 real *restrict y) {
  const int64_t n = p->out;
  const int32_t *index = p->index;
  const real *weight = p->weight;
  for (int64_t i = 0; i < n; i++) {
    real sum = x[index[i]] * weight[i];
    for (int t = 1; t < taps; t++) sum += x[index[t * n + i]] * weight[t * n + i];
    y[i] = sum;
  }
}

LEVEL_INLINE void run_pass(const pass *p, int taps, const real *x, real *y) {
  for (int64_t outer = 0; outer < p->outer; outer++, x += p->in * p->inner) {
    if (p->inner == 1) {
      weigh_elements(p, taps, x, y);
      y += p->out;
      continue;
    }
    for (int64_t i = 0; i < p->out; i++, y += p->inner) weigh_lines(p, taps, i, x, y);
  }
}

typedef struct {
  const kp_prepared *p;
  const real *x;
  real *y, *scratch;
} resize_job;

LEVEL_INLINE void resize_rows(const resize_job *job, int taps, int64_t begin, int64_t end,
                              int thread) {
  const kp_prepared *p = job->p;
  const pass *first = &p->passes[0], *last = &p->passes[p->num_passes - 1];
  real *buffers[2] = {job->scratch + 2 * thread * p->buffer,
                      job->scratch + (2 * thread + 1) * p->buffer};
  const int64_t row = last == first ? first->inner : last->outer * last->out * last->inner;
  for (int64_t i = begin; i < end; i++) {
    const real *x = job->x + i / first->out * first->in * first->inner;
    real *y = job->y + i * row;
    weigh_lines(first, taps, i % first->out, x, last == first ? y : buffers[0]);
    for (int k = 1; k < p->num_passes; k++)
      run_pass(&p->passes[k], taps, buffers[(k - 1) & 1],
               k == p->num_passes - 1 ? y : buffers[k & 1]);
  }
}

static void resize_part(const void *context, int64_t begin, int64_t end, int thread) {
  const resize_job *job = context;
  if (job->p->taps == 2)
    resize_rows(job, 2, begin, end, thread);
  else
    resize_rows(job, 4, begin, end, thread);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const resize_job job = {p, buffers[0], buffers[1], scratch};
  if (p->count == 0) return KP_OK;
  if (p->num_passes == 0)
    memcpy(buffers[1], buffers[0], (size_t)p->count * sizeof(real));
  else
    parallel_for(p->threads, p->passes[0].outer * p->passes[0].out, resize_part, &job);
  if (p->padding.lanes) zero_padding(&p->padding, buffers[1]);
  return KP_OK;
}

#define RESIZE(suffix)                                                                         \
  {KERNEL("portable.resize.weighted." suffix), .query = query, .prepare = prepare, .run = run, \
   .release = release}
#if REAL_BITS == 64
static const kp_kernel list[] = {RESIZE("f64")};
const kp_kernel_list LEVEL_NAME(resize_weighted_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {RESIZE("f32"), WIDENED_HALVES("resize", list[0])};
const kp_kernel_list LEVEL_NAME(resize_weighted_kernels) = KERNEL_LIST(list);
#endif
