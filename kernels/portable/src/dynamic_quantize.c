/* "dynamic_quantize_linear": the least and the largest element first, then all as bytes. */
#include <math.h>

#include "level.h"
#include "parallel.h"
#include "problem.h"

enum { CHUNK = 16384 }; /* elements that a thread takes at least */

struct kp_prepared {
  int64_t count;
  int threads;
};

typedef struct {
  float low, high;
} bounds;

typedef struct {
  const kp_prepared *p;
  const float *x;
  bounds *parts; /* of the chunks */
  float scale, zero;
  uint8_t *y;
} running;

static int64_t chunks_of(int64_t count) { return (count + CHUNK - 1) / CHUNK; }
static int64_t end_of(const running *r, int64_t chunk) {
  const int64_t end = (chunk + 1) * CHUNK;
  return end < r->p->count ? end : r->p->count;
}

/* ---- The range ------------------------------------------------------------------------- */

static void find_bounds(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const running *r = context;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const int64_t last = end_of(r, chunk);
    f32v low = {0}, high = {0};
    int64_t i = chunk * CHUNK;
    for (; i + F32_LANES <= last; i += F32_LANES) {
      const f32v x = load_f32(r->x + i);
      low = select_f32(x < low, x, low);
      high = select_f32(x > high, x, high);
    }
    const f32v x = load_f32_first(r->x + i, (int)(last - i));
    low = select_f32(x < low, x, low);
    high = select_f32(x > high, x, high);
    bounds all = {0};
    for (int lane = 0; lane < F32_LANES; lane++) {
      all.low = low[lane] < all.low ? low[lane] : all.low;
      all.high = high[lane] > all.high ? high[lane] : all.high;
    }
    r->parts[chunk] = all;
  }
}

/* ---- Bytes ------------------------------------------------------------------------------- */

LEVEL_INLINE i32v stored(f32v x, f32v scale, f32v zero) {
  f32v whole = round_f32(x / scale);
  whole = select_f32(whole > -zero, whole, -zero);
  const f32v high = 255.0f - zero;
  whole = select_f32(whole < high, whole, high);
  return __builtin_convertvector(whole + zero, i32v);
}

static void quantize(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const running *r = context;
  const f32v scale = broadcast_f32(r->scale), zero = broadcast_f32(r->zero);
  const float *x = r->x;
  uint8_t *y = r->y;
  const int64_t last = end_of(r, end - 1);
  int64_t i = begin * CHUNK;
  for (; i + F32_LANES <= last; i += F32_LANES)
    store_i32_as_u8(y + i, stored(load_f32(x + i), scale, zero));
  const int left = (int)(last - i);
  store_i32_as_u8_first(y + i, stored(load_f32_first(x + i, left), scale, zero), left);
}

/* ---- The kernel ------------------------------------------------------------------------ */

static double work(const kp_problem *problem) {
  const double bytes = problem_bytes(problem) + (double)kp_bytes(problem->inputs);
  return work_seconds(bytes, (double)kp_elements(problem->inputs) * 5e-11);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_element(problem->inputs, answer, "x.dtype", kernel->context)) return;
  if (problem->num_epilogues) return kp_refuse(answer, KP_NO_EPILOGUE, "epilogue", "none");
  kp_problem tensor = *problem; /* the scale and the zero point have but one layout */
  tensor.num_outputs = 1;
  if (refuse_layouts(&tensor, answer, LAYOUT_NCHW | LAYOUT_NHWC)) return;
  for (uint32_t i = 2; i < 4; i++) answer_layout(answer, i, "nchw");
  answer->scratch_bytes = (uint64_t)chunks_of(kp_elements(problem->inputs)) * sizeof(bounds);
  answer_yes(problem, answer, work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  p->count = kp_elements(problem->inputs);
  p->threads = kernel_threads(work(problem), problem->threads);
  *prepared = p;
  return KP_OK;
}

/* Each step rounded to float, as the operator's rule has it. */
static void choose_scale(running *r) {
  bounds all = {0};
  for (int64_t i = 0; i < chunks_of(r->p->count); i++) {
    all.low = r->parts[i].low < all.low ? r->parts[i].low : all.low;
    all.high = r->parts[i].high > all.high ? r->parts[i].high : all.high;
  }
  r->scale = (all.high - all.low) / 255.0f;
  if (r->scale == 0) r->scale = 1;
  const float zero = rintf(-all.low / r->scale);
  r->zero = zero > 255.0f ? 255.0f : zero > 0 ? zero : 0;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  running r = {.p = p, .x = buffers[0], .parts = scratch, .y = buffers[1]};
  const int64_t chunks = chunks_of(p->count);
  parallel_for(p->threads, chunks, find_bounds, &r);
  choose_scale(&r);
  parallel_for(p->threads, chunks, quantize, &r);
  *(float *)buffers[2] = r.scale;
  *(uint8_t *)buffers[3] = (uint8_t)r.zero;
  return KP_OK;
}

static const kp_kernel list[] = {
    {KERNEL("portable.dynamic_quantize_linear.simd.f32"), .context = &(const element)ELEMENT_f32,
     .query = query, .prepare = prepare, .run = run, .release = release_prepared},
};
const kp_kernel_list LEVEL_NAME(dynamic_quantize_kernels) = KERNEL_LIST(list);
