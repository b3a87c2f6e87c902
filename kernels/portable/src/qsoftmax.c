/*
 * "qsoftmax" along an axis. An exponential depends on the distance from the largest value alone, so
 * that 256 of them serve all; likewise each line's results.
 */
#include <math.h>

#include "parallel.h"
#include "problem.h"
#include "quantization.h"

enum { ENTRIES = 256 };

struct kp_prepared {
  int64_t rows, count, inner; /* the axis has `count` entries, `inner` elements apart */
  uint8_t flip;               /* what makes stored bytes unsigned, in order */
  int threads;
  double y_scale, low, high; /* of results without their zero point */
  int32_t y_zero;
  double exponentials[ENTRIES]; /* of each value less the largest that there can be */
};

typedef struct {
  const kp_prepared *p;
  const uint8_t *x;
  uint8_t *y;
} softmax_job;

/* ---- One line ------------------------------------------------------------------------------- */

/* What turns an exponential into a stored byte; a copy, since a byte that is written might be any
 * of it, for all that the compiler knows. */
typedef struct {
  double multiplier, low, high;
  int32_t zero;
} finish;

/* Adding and taking away what leaves no bits for a fraction rounds it, half to even. */
static inline uint8_t result_of(double exponential, finish f) {
  const double whole = 0x1.8p52, real = exponential * f.multiplier;
  const double held = real < f.low ? f.low : real > f.high ? f.high : real;
  return (uint8_t)((int32_t)(held + whole - whole) + f.zero);
}

static inline double sum_of(const double *of_value, const uint8_t *x, int64_t count, int64_t step,
                            uint8_t flip) {
  double sums[4] = {0};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int k = 0; k < 4; k++) sums[k] += of_value[x[(i + k) * step] ^ flip];
  for (; i < count; i++) sums[0] += of_value[x[i * step] ^ flip];
  return sums[0] + sums[1] + (sums[2] + sums[3]);
}

__attribute__((always_inline)) static inline void softmax_line(const kp_prepared *p,
                                                               const uint8_t *x, uint8_t *y,
                                                               int64_t step) {
  const int64_t count = p->count;
  const uint8_t flip = p->flip;
  uint8_t largest = 0;
  for (int64_t i = 0; i < count; i++) {
    const uint8_t value = x[i * step] ^ flip;
    largest = value > largest ? value : largest;
  }
  /* By value in order: none is above the largest. */
  const double *of_value = p->exponentials + (ENTRIES - 1 - largest);
  const double sum = sum_of(of_value, x, count, step, flip);
  const finish f = {1 / (sum * p->y_scale), p->low, p->high, p->y_zero};
  if (count < ENTRIES) {
    for (int64_t i = 0; i < count; i++) y[i * step] = result_of(of_value[x[i * step] ^ flip], f);
    return;
  }
  uint8_t results[ENTRIES];
  for (int i = 0; i <= largest; i++) results[i] = result_of(of_value[i], f);
  for (int64_t i = 0; i < count; i++) y[i * step] = results[x[i * step] ^ flip];
}

static void softmax_lines(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const softmax_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t count = p->count, inner = p->inner;
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = i / inner * count * inner + i % inner;
    if (inner == 1)
      softmax_line(p, job->x + first, job->y + first, 1);
    else
      softmax_line(p, job->x + first, job->y + first, inner);
  }
}

/* ---- The kernel ----------------------------------------------------------------------------- */

static double work(const kp_problem *problem) {
  const DLTensor *x = &problem->inputs->dl;
  const int64_t count = x->shape[kp_integer(problem, "axis", 0, 0)];
  const double elements = (double)kp_elements(problem->inputs);
  const double results = count < ENTRIES ? (double)count : ENTRIES;
  const double lines = count ? elements / (double)count : 0;
  return elements * 0.5e-9 + lines * (2e-8 + results * 0.8e-9);
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

/* The axis among the extents as they lie in memory. */
static void read_axis(const kp_problem *problem, kp_prepared *p) {
  static const int last[] = {0, 2, 3, 1};
  const kp_tensor *x = problem->inputs;
  const int axis = (int)kp_integer(problem, "axis", 0, 0), is_last = kp_is_layout(x, "nhwc");
  int inside = 0;
  p->rows = p->inner = 1;
  for (int i = 0; i < x->dl.ndim; i++) {
    const int dimension = is_last ? last[i] : i;
    if (dimension == axis)
      inside = 1;
    else
      *(inside ? &p->inner : &p->rows) *= x->dl.shape[dimension];
  }
  p->count = x->dl.shape[axis];
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const quantized_range range = quantized_dtype_range(y);
  read_axis(problem, p);
  p->flip = x->dl.dtype.code == kDLInt ? 0x80 : 0;
  p->y_scale = quantized_scale(y, 0);
  p->y_zero = quantized_zero(y, 0);
  p->low = range.low - p->y_zero;
  p->high = range.high - p->y_zero;
  p->threads = kernel_threads(work(problem), problem->threads);
  for (int i = 0; i < ENTRIES; i++)
    p->exponentials[i] = exp((i - (ENTRIES - 1)) * (double)quantized_scale(x, 0));
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const softmax_job job = {p, buffers[0], buffers[1]};
  if (p->count) parallel_for(p->threads, p->rows * p->inner, softmax_lines, &job);
  return KP_OK;
}

#define QSOFTMAX(short_name)                        \
  {KERNEL("portable.qsoftmax.table." #short_name),  \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared}
static const kp_kernel list[] = {QSOFTMAX(u8), QSOFTMAX(i8)};
const kp_kernel_list qsoftmax_kernels = KERNEL_LIST(list);
