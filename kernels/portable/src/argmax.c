/* Index of the largest element along an axis; a NaN counts as the largest. */
#include "parallel.h"
#include "wide.h"
#include "widen.h"

typedef struct {
  element type;
  double seconds; /* an element's, beside those for moving it */
  parallel_body *rows;
} argmax_context;

struct kp_prepared {
  const argmax_context *context;
  int takes_last, threads;
  int64_t rows, count, inner; /* the axis has `count` entries, `inner` elements apart */
};

static double argmax_work(const argmax_context *context, const kp_problem *problem) {
  return work_seconds(problem_bytes(problem),
                      context->seconds * (double)kp_elements(&problem->inputs[0]));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const argmax_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer_yes(problem, answer, argmax_work(context, problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  const int axis = (int)kp_integer(problem, "axis", 0, 0);
  p->context = kernel->context;
  p->takes_last = (int)kp_integer(problem, "select_last_index", 0, 0);
  p->threads = kernel_threads(argmax_work(p->context, problem), problem->threads);
  p->rows = extent_product(x->shape, 0, axis);
  p->count = x->shape[axis];
  p->inner = extent_product(x->shape, axis + 1, x->ndim);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const void *x;
  int64_t *y;
} argmax_job;

enum { COLUMNS = 64 };

static int64_t column_groups(const kp_prepared *p) { return (p->inner + COLUMNS - 1) / COLUMNS; }

/* `beats`: does b take a's place as the largest? A NaN beats all but a NaN. */
#define ROWS(name, type, is_nan)                                                                \
  static void rows_##name(const void *context, int64_t begin, int64_t end, int thread) {        \
    (void)thread;                                                                               \
    const argmax_job *job = context;                                                            \
    const kp_prepared *p = job->p;                                                              \
    const int last = p->takes_last;                                                             \
    for (int64_t group = begin; group < end; group++) {                                         \
      const int64_t row = group / column_groups(p), first = group % column_groups(p) * COLUMNS; \
      const int64_t n = p->inner - first < COLUMNS ? p->inner - first : COLUMNS;                \
      const type *x = (const type *)job->x + row * p->count * p->inner + first;                 \
      type best[COLUMNS];                                                                       \
      int64_t *index = job->y + row * p->inner + first;                                         \
      for (int64_t i = 0; i < n; i++) best[i] = x[i], index[i] = 0;                             \
      for (int64_t k = 1; k < p->count; k++)                                                    \
        for (int64_t i = 0; i < n; i++) {                                                       \
          const type a = best[i], b = x[k * p->inner + i];                                      \
          const int beats =                                                                     \
              is_nan(a) ? last && is_nan(b) : is_nan(b) || b > a || (last && b == a);           \
          best[i] = beats ? b : a;                                                              \
          index[i] = beats ? k : index[i];                                                      \
        }                                                                                       \
    }                                                                                           \
  }
#define IS_NAN(x) ((x) != (x))
#define NEVER(x) 0
#define INTEGER_ROWS(name, type) ROWS(name, type, NEVER)
ROWS(f32, float, IS_NAN)
ROWS(f64, double, IS_NAN)
FOR_EACH_INTEGER(INTEGER_ROWS)

/* ---- Vectors of floats -------------------------------------------------------- */

/* Is any of them what is looked for: this value, or a NaN where it is one? */
LEVEL_INLINE int is_among(const float *x, int64_t n, float wanted) {
  int found = 0;
  for (int64_t i = 0; i < n; i++) found |= x[i] == wanted || IS_NAN(x[i]);
  return found;
}

/* The first, or last, of the largest of a row: a NaN where there is one. */
static int64_t index_of_largest(const float *x, int64_t n, int last) {
  enum { PART = 8 * F32_LANES };
  const float wanted = largest_of(x, n);
  const int64_t parts = (n + PART - 1) / PART;
  for (int64_t part = 0; part < parts; part++) {
    const int64_t first = (last ? parts - 1 - part : part) * PART;
    const int64_t count = kernel_min(PART, n - first);
    if (!is_among(x + first, count, wanted)) continue;
    for (int64_t k = 0; k < count; k++) {
      const int64_t i = first + (last ? count - 1 - k : k);
      if (x[i] == wanted || IS_NAN(x[i])) return i;
    }
  }
  return 0;
}

/* Rows whose entries lie one after the other. */
static void whole_rows(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const argmax_job *job = context;
  const int64_t n = job->p->count;
  for (int64_t row = begin; row < end; row++)
    job->y[row] = index_of_largest((const float *)job->x + row * n, n, job->p->takes_last);
}

/* `vectors` of columns, or `lanes` of one. */
LEVEL_INLINE void columns_of(const float *x, int64_t count, int64_t step, int last, int vectors,
                             int lanes, int64_t *y) {
  f32v best[4];
  i32v index[4] = {{0}};
  for (int v = 0; v < vectors; v++) best[v] = load_f32_first(x + v * (int)F32_LANES, lanes);
  for (int64_t k = 1; k < count; k++)
    for (int v = 0; v < vectors; v++) {
      const f32v a = best[v], b = load_f32_first(x + k * step + v * (int)F32_LANES, lanes);
      const i32v beats = last ? (b >= a) | (b != b) : ~(b <= a) & (a == a);
      best[v] = select_f32(beats, b, a);
      index[v] = (i32v)select_f32(beats, (f32v)((i32v){0} + (int32_t)k), (f32v)index[v]);
    }
  for (int v = 0; v < vectors; v++)
    for (int i = 0; i < lanes; i++) y[v * (int)F32_LANES + i] = index[v][i];
}

static void whole_columns(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const argmax_job *job = context;
  const kp_prepared *p = job->p;
  const int all = F32_LANES;
  for (int64_t group = begin; group < end; group++) {
    const int64_t row = group / column_groups(p), first = group % column_groups(p) * COLUMNS;
    const int64_t n = kernel_min(COLUMNS, p->inner - first);
    const float *x = (const float *)job->x + row * p->count * p->inner + first;
    int64_t *y = job->y + row * p->inner + first, i = 0;
    for (; i + 4 * all <= n; i += 4 * all)
      columns_of(x + i, p->count, p->inner, p->takes_last, 4, all, y + i);
    for (; i < n; i += all)
      columns_of(x + i, p->count, p->inner, p->takes_last, 1, (int)kernel_min(all, n - i), y + i);
  }
}

/* Indices are kept in 32 bits. */
static void rows_of_floats(const void *context, int64_t begin, int64_t end, int thread) {
  const kp_prepared *p = ((const argmax_job *)context)->p;
  if (p->inner == 1)
    whole_rows(context, begin, end, thread);
  else if (p->count <= INT32_MAX)
    whole_columns(context, begin, end, thread);
  else
    rows_f32(context, begin, end, thread);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const argmax_job job = {p, buffers[0], buffers[1]};
  parallel_for(p->threads, p->rows * column_groups(p), p->context->rows, &job);
  return KP_OK;
}

#define KERNELS(short_name, type) KERNEL_OF(short_name, 1e-9, rows_##short_name)
#define KERNEL_OF(short_name, each, rows)                                \
  {KERNEL("portable.argmax.loop." #short_name),                          \
   .context = &(const argmax_context){ELEMENT_##short_name, each, rows}, \
   .query = query,                                                       \
   .prepare = prepare,                                                   \
   .run = run,                                                           \
   .release = release_prepared},
static const kp_kernel list[] = {KERNEL_OF(f32, 0.05e-9, rows_of_floats) KERNELS(f64, double)
                                     FOR_EACH_INTEGER(KERNELS) WIDENED_HALVES("argmax", list[0])};
const kp_kernel_list LEVEL_NAME(argmax_kernels) = KERNEL_LIST(list);
