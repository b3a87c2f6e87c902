/* Running sums along an axis; float's in double. */
#include "parallel.h"
#include "widen.h"

typedef struct {
  element type;
  parallel_body *lines;
} cumsum_context;

struct kp_prepared {
  const cumsum_context *context;
  int exclusive, reverse, threads;
  int64_t rows, count, inner; /* the axis has `count` entries, `inner` elements apart */
};

static double cumsum_work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), 1e-9 * (double)kp_elements(&problem->inputs[0]));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const cumsum_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer->may_overwrite = 1;
  answer_yes(problem, answer, cumsum_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  const int axis = (int)kp_integer(problem, "axis", 0, 0);
  *p = (kp_prepared){.context = kernel->context,
                     .exclusive = (int)kp_integer(problem, "exclusive", 0, 0),
                     .reverse = (int)kp_integer(problem, "reverse", 0, 0),
                     .threads = kernel_threads(cumsum_work(problem), problem->threads),
                     .rows = extent_product(x->shape, 0, axis),
                     .count = x->shape[axis],
                     .inner = extent_product(x->shape, axis + 1, x->ndim)};
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const void *x;
  void *y;
} cumsum_job;

enum { COLUMNS = 256 };

static int64_t column_groups(const kp_prepared *p) { return (p->inner + COLUMNS - 1) / COLUMNS; }

/* One line, or up to COLUMNS that lie beside each other; y may be x. */
#define LINES(name, type, wide)                                                                 \
  static void line_##name(const kp_prepared *p, const type *x, type *y) {                       \
    const int64_t count = p->count, step = p->reverse ? -1 : 1;                                 \
    const int exclusive = p->exclusive;                                                         \
    int64_t at = p->reverse ? count - 1 : 0;                                                    \
    wide sum = 0;                                                                               \
    for (int64_t k = 0; k < count; k++, at += step) {                                           \
      const wide before = sum;                                                                  \
      sum += (wide)x[at];                                                                       \
      y[at] = (type)(exclusive ? before : sum);                                                 \
    }                                                                                           \
  }                                                                                             \
  static void columns_##name(const kp_prepared *p, int64_t n, const type *x, type *y) {         \
    const int64_t count = p->count, step = p->reverse ? -p->inner : p->inner;                   \
    const int exclusive = p->exclusive;                                                         \
    int64_t at = p->reverse ? (count - 1) * p->inner : 0;                                       \
    wide sums[COLUMNS] = {0};                                                                   \
    for (int64_t k = 0; k < count; k++, at += step)                                             \
      _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                    \
        const wide before = sums[i], after = before + (wide)x[at + i];                          \
        sums[i] = after;                                                                        \
        y[at + i] = (type)(exclusive ? before : after);                                         \
      }                                                                                         \
  }                                                                                             \
  static void lines_##name(const void *context, int64_t begin, int64_t end, int thread) {       \
    (void)thread;                                                                               \
    const cumsum_job *job = context;                                                            \
    const kp_prepared *p = job->p;                                                              \
    for (int64_t group = begin; group < end; group++) {                                         \
      const int64_t row = group / column_groups(p), first = group % column_groups(p) * COLUMNS; \
      const int64_t n = kernel_min(p->inner - first, COLUMNS);                                  \
      const int64_t at = row * p->count * p->inner + first;                                     \
      if (p->inner == 1)                                                                        \
        line_##name(p, (const type *)job->x + at, (type *)job->y + at);                         \
      else                                                                                      \
        columns_##name(p, n, (const type *)job->x + at, (type *)job->y + at);                   \
    }                                                                                           \
  }
LINES(f32, float, double)
LINES(f64, double, double)
LINES(i64, int64_t, uint64_t) /* unsigned sums wrap around */
LINES(i32, int32_t, uint32_t)

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const cumsum_job job = {p, buffers[0], buffers[1]};
  parallel_for(p->threads, p->rows * column_groups(p), p->context->lines, &job);
  return KP_OK;
}

#define CUMSUM(short_name)                                                       \
  {KERNEL("portable.cumsum.loop." #short_name),                                  \
   .context = &(const cumsum_context){ELEMENT_##short_name, lines_##short_name}, \
   .query = query,                                                               \
   .prepare = prepare,                                                           \
   .run = run,                                                                   \
   .release = release_prepared}
static const kp_kernel list[] = {CUMSUM(f32), CUMSUM(f64), CUMSUM(i64), CUMSUM(i32),
                                 WIDENED_HALVES("cumsum", list[0])};
const kp_kernel_list LEVEL_NAME(cumsum_kernels) = KERNEL_LIST(list);
