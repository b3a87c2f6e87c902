/* "quantize_linear" and "dequantize_linear": element by element, with scales along one axis. */
#include "parallel.h"
#include "problem.h"
#include "quantization.h"
#include "storage.h"

enum { CHUNK = 4096 }; /* elements that a thread takes at least */

/* A tensor as it lies in memory: [outer][channels][inner], a scale for each channel. */
struct kp_prepared {
  int64_t outer, channels, inner;
  int quantizes, threads;
  storage stored;    /* of the real values */
  int integer_bytes; /* of the stored ones */
  int integer_is_signed;
  float low, high; /* of the dtype */
  float scales[];  /* channels of them, then as many zero points as floats */
};

typedef struct {
  const kp_prepared *p;
  const void *x;
  void *y;
} running;

LEVEL_INLINE f32v load_values(const float *p, int count) {
  return count == F32_LANES ? load_f32(p) : load_f32_first(p, count);
}

/* ---- One vector -------------------------------------------------------------------- */

LEVEL_INLINE i32v quantize_vector(f32v x, f32v scale, f32v zero, f32v low, f32v high) {
  f32v whole = round_f32(x / scale);
  /* Bounds without the zero point: the sum with it is whole, and small. */
  whole = select_f32(whole > low - zero, whole, low - zero);
  whole = select_f32(whole < high - zero, whole, high - zero);
  return __builtin_convertvector(whole + zero, i32v);
}

LEVEL_INLINE void quantize_step(storage s, const running *r, int64_t at, int count, f32v scale,
                                f32v zero) {
  const f32v low = broadcast_f32(r->p->low), high = broadcast_f32(r->p->high);
  const i32v stored = quantize_vector(load_stored(s, r->x, at, count), scale, zero, low, high);
  uint8_t *y = (uint8_t *)r->y + at;
  if (count == F32_LANES)
    store_i32_as_u8(y, stored);
  else
    store_i32_as_u8_first(y, stored, count);
}

LEVEL_INLINE i32v load_integers(const kp_prepared *p, const void *x, int64_t at, int count) {
  int32_t values[F32_LANES] = {0};
  if (p->integer_bytes == 4) {
    if (count == F32_LANES) return load_i32((const int32_t *)x + at);
    memcpy(values, (const int32_t *)x + at, (size_t)count * sizeof *values);
    return load_i32(values);
  }
  const uint8_t *from = (const uint8_t *)x + at;
  uint8_t bytes[F32_LANES] = {0};
  if (count < F32_LANES) from = memcpy(bytes, from, (size_t)count);
  return p->integer_is_signed ? load_i8_as_i32((const int8_t *)from) : load_u8_as_i32(from);
}

LEVEL_INLINE void dequantize_step(const running *r, int64_t at, int count, f32v scale, f32v zero) {
  const i32v stored = load_integers(r->p, r->x, at, count);
  const i32v centred = stored - __builtin_convertvector(zero, i32v);
  const f32v y = __builtin_convertvector(centred, f32v) * scale;
  float *to = (float *)r->y + at;
  if (count == F32_LANES)
    store_f32(to, y);
  else
    store_f32_first(to, y, count);
}

LEVEL_INLINE void step(storage s, const running *r, int64_t at, int count, f32v scale, f32v zero) {
  if (r->p->quantizes)
    quantize_step(s, r, at, count, scale, zero);
  else
    dequantize_step(r, at, count, scale, zero);
}

/* ---- Runs of elements ---------------------------------------------------------------- */

/* Elements [begin, end) with one scale. */
LEVEL_INLINE void run_of_one_scale(storage s, const running *r, int64_t begin, int64_t end,
                                   float scale, float zero) {
  const f32v scales = broadcast_f32(scale), zeros = broadcast_f32(zero);
  int64_t at = begin;
  for (; at + F32_LANES <= end; at += F32_LANES) step(s, r, at, F32_LANES, scales, zeros);
  if (at < end) step(s, r, at, (int)(end - at), scales, zeros);
}

/* Channels [begin, end) that follow one another, from element `at` on. */
LEVEL_INLINE void run_of_channels(storage s, const running *r, int64_t at, int64_t begin,
                                  int64_t end) {
  const float *scales = r->p->scales, *zeros = scales + r->p->channels;
  for (int64_t c = begin; c < end; c += F32_LANES, at += F32_LANES) {
    const int count = end - c < F32_LANES ? (int)(end - c) : (int)F32_LANES;
    step(s, r, at, count, load_values(scales + c, count), load_values(zeros + c, count));
  }
}

LEVEL_INLINE void elements(storage s, const running *r, int64_t begin, int64_t end) {
  const kp_prepared *p = r->p;
  const int64_t row = p->inner == 1 ? p->channels : p->inner;
  while (begin < end) {
    const int64_t first = begin % row,
                  length = row - first < end - begin ? row - first : end - begin;
    const int64_t channel = begin / p->inner % p->channels;
    if (p->inner == 1 && p->channels > 1)
      run_of_channels(s, r, begin, first, first + length);
    else
      run_of_one_scale(s, r, begin, begin + length, p->scales[channel],
                       p->scales[p->channels + channel]);
    begin += length;
  }
}

static void part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const running *r = context;
  const int64_t total = r->p->outer * r->p->channels * r->p->inner;
  end = end * CHUNK < total ? end * CHUNK : total;
  FOR_STORAGE(r->p->stored, elements, r, begin * CHUNK, end);
}

/* ---- The kernels ----------------------------------------------------------------------- */

static int is_quantizing(const kp_problem *problem) {
  return strcmp(problem->operator_name, "quantize_linear") == 0;
}

static double work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), (double)kp_elements(problem->outputs) * 5e-11);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW | LAYOUT_NHWC))
    return;
  if (problem->num_epilogues) return kp_refuse(answer, KP_NO_EPILOGUE, "epilogue", "none");
  answer_yes(problem, answer, work(problem));
}

/* Where the axis's channels lie: with the logical dimensions 0, 2, 3, 1 in an "nhwc" tensor. */
static void lay_out(const kp_tensor *t, kp_prepared *p) {
  static const int32_t channels_last[] = {0, 2, 3, 1};
  const int is_last = kp_is_layout(t, "nhwc"), axis = t->quantization->axis;
  int past = 0;
  p->outer = p->channels = p->inner = 1;
  for (int32_t i = 0; i < t->dl.ndim; i++) {
    const int32_t dimension = is_last ? channels_last[i] : i;
    const int64_t extent = t->dl.shape[dimension];
    if (dimension == axis)
      p->channels = extent, past = 1;
    else if (past)
      p->inner *= extent;
    else
      p->outer *= extent;
  }
  if (axis < 0) p->inner = p->outer, p->outer = 1;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  const int quantizes = is_quantizing(problem);
  const kp_tensor *t = quantizes ? problem->outputs : problem->inputs;
  const int64_t count = t->quantization->count;
  kp_prepared *p = calloc(1, sizeof *p + 2 * (size_t)count * sizeof(float));
  if (!p) return refuse_memory(error);
  const quantized_range range = quantized_dtype_range(t);
  lay_out(t, p);
  p->quantizes = quantizes;
  p->threads = kernel_threads(work(problem), problem->threads);
  p->stored = !quantizes                                 ? STORED_F32
              : storage_is(STORED_F32, problem->inputs)  ? STORED_F32
              : storage_is(STORED_BF16, problem->inputs) ? STORED_BF16
                                                         : STORED_F16;
  p->integer_bytes = element_size(t);
  p->integer_is_signed = t->dl.dtype.code == kDLInt;
  p->low = (float)range.low;
  p->high = (float)range.high;
  for (int64_t i = 0; i < count; i++) {
    p->scales[i] = t->quantization->scales[i];
    p->scales[count + i] = (float)t->quantization->zero_points[i];
  }
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const running r = {p, buffers[0], buffers[1]};
  const int64_t total = p->outer * p->channels * p->inner;
  parallel_for(p->threads, (total + CHUNK - 1) / CHUNK, part, &r);
  return KP_OK;
}

#define QUANTIZE(operator, short_name)                 \
  {KERNEL("portable." #operator ".simd." #short_name), \
   .context = &(const element)ELEMENT_##short_name,    \
   .query = query,                                     \
   .prepare = prepare,                                 \
   .run = run,                                         \
   .release = release_prepared}
static const kp_kernel list[] = {
    QUANTIZE(quantize_linear, f32),  QUANTIZE(quantize_linear, bf16),
    QUANTIZE(quantize_linear, f16),  QUANTIZE(dequantize_linear, u8),
    QUANTIZE(dequantize_linear, i8), QUANTIZE(dequantize_linear, i32),
};
const kp_kernel_list LEVEL_NAME(quantize_kernels) = KERNEL_LIST(list);
