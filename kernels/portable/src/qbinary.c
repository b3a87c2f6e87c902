/* Sums and products of two quantised tensors that broadcast. */
#include "blocked.h"
#include "broadcast.h"
#include "kernel.h"
#include "parallel.h"
#include "requantise.h"

enum { UNIT = 64, VECTORS = 4 }; /* elements that threads split; vectors that are stored at once */

typedef struct {
  int is_signed;
  int32_t zero;
  float ratio; /* of a sum's operand; of a product's first, the multiplier */
} operand;

struct kp_prepared {
  broadcast walk;
  operand a, b;
  quantized_range range;
  int32_t zero;
  int is_sum, threads;
  blocked_padding padding;
};

typedef struct {
  const kp_prepared *p;
  const uint8_t *a, *b;
  uint8_t *y;
} qbinary_job;

/* What is left of a row behind its whole vectors goes through memory. */
static double work(const kp_problem *problem, const broadcast *walk) {
  const int64_t inner = walk->extent[walk->ndim - 1];
  const double rests = inner % F32_LANES ? (double)(walk->count / inner) : 0;
  return work_seconds(problem_bytes(problem),
                      (double)stored_elements(problem->outputs) * (1.2e-9 / F32_LANES)) +
         rests * 5e-8;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  broadcast walk;
  if (refuse_element(problem->inputs, answer, "a.dtype", kernel->context) ||
      broadcast_make(problem, 2, &walk, answer))
    return;
  answer->may_overwrite = broadcast_dense(&walk);
  answer_yes(problem, answer, work(problem, &walk));
}

static operand operand_of(const kp_tensor *t, const kp_tensor *y) {
  return (operand){t->dl.dtype.code == kDLInt, quantized_zero(t, 0), quantized_ratio(t, y)};
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = problem->outputs;
  broadcast_make(problem, 2, &p->walk, NULL);
  p->is_sum = strcmp(problem->operator_name, "qadd") == 0;
  p->a = operand_of(a, y);
  p->b = operand_of(b, y);
  if (!p->is_sum) p->a.ratio = quantized_multiplier(a, b, y, 0);
  p->range = quantized_output_range(problem);
  p->zero = quantized_zero(y, 0);
  p->threads = kernel_threads(work(problem, &p->walk), problem->threads);
  p->padding = padding_of(y);
  *prepared = p;
  return KP_OK;
}

/* Elements less their zero point; `count` of them, where there are fewer than lanes. */
LEVEL_INLINE i32v centred(const operand *o, const uint8_t *from, int64_t count) {
  uint8_t bytes[F32_LANES] = {0};
  if (count < F32_LANES) from = memcpy(bytes, from, (size_t)count);
  return (o->is_signed ? load_i8_as_i32((const int8_t *)from) : load_u8_as_i32(from)) - o->zero;
}

LEVEL_INLINE i32v one_centred(const operand *o, uint8_t byte) {
  return (i32v){0} + ((o->is_signed ? (int8_t)byte : byte) - o->zero);
}

/* Real results less the zero point. */
LEVEL_INLINE f32v sum_of(const kp_prepared *p, i32v a, i32v b) {
  const f32v first = rounded_f32(__builtin_convertvector(a, f32v) * p->a.ratio);
  const f32v second = rounded_f32(__builtin_convertvector(b, f32v) * p->b.ratio);
  return first + second;
}

LEVEL_INLINE f32v product_of(const kp_prepared *p, i32v a, i32v b) {
  return __builtin_convertvector(a * b, f32v) * p->a.ratio;
}

typedef f32v combine_function(const kp_prepared *p, i32v a, i32v b);

/* What is alike in all of a row's vectors is known to the compiler: two rows of elements of one
 * sign, by whole vectors of bytes. Returns how many elements that were. */
LEVEL_INLINE int64_t wide_row(const kp_prepared *p, const uint8_t *a, const uint8_t *b, uint8_t *y,
                              int64_t count, int is_signed, const requantisation *r,
                              combine_function *combine) {
  const operand first = {is_signed, p->a.zero, p->a.ratio};
  const operand second = {is_signed, p->b.zero, p->b.ratio};
  const int64_t wide = VECTORS * F32_LANES;
  int64_t i = 0;
  for (; i + wide <= count; i += wide) {
    f32v real[VECTORS];
    _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++) {
      const int64_t at = i + v * (int)F32_LANES;
      real[v] = combine(p, centred(&first, a + at, F32_LANES), centred(&second, b + at, F32_LANES));
    }
    store_reals(VECTORS, real, r, y + i, wide);
  }
  return i;
}

LEVEL_INLINE void rows_by(const kp_prepared *prepared, const uint8_t *a, const uint8_t *b,
                          uint8_t *y, const broadcast_rows *given, combine_function *combine) {
  const kp_prepared kept = *prepared, *p = &kept; /* bytes that are written may alias these */
  const broadcast_rows rows = *given;
  const requantisation r = make_requantisation(p->range, p->zero);
  const int alike = rows.inner[0] && rows.inner[1] && p->a.is_signed == p->b.is_signed;
  for (int64_t j = 0; j < rows.rows; j++, a += rows.row[0], b += rows.row[1], y += rows.count) {
    const i32v one_a = one_centred(&p->a, *a), one_b = one_centred(&p->b, *b);
    int64_t i = 0;
    if (alike)
      i = p->a.is_signed ? wide_row(p, a, b, y, rows.count, 1, &r, combine)
                         : wide_row(p, a, b, y, rows.count, 0, &r, combine);
    for (; i < rows.count; i += F32_LANES) {
      const int64_t left = rows.count - i;
      const i32v x = rows.inner[0] ? centred(&p->a, a + i, left) : one_a;
      const i32v z = rows.inner[1] ? centred(&p->b, b + i, left) : one_b;
      store_bytes(y + i, stored_of(combine(p, x, z), &r), left);
    }
  }
}

static void rows(const void *context, const broadcast_rows *run, const int64_t *offsets,
                 int64_t output_offset) {
  const qbinary_job *job = context;
  const uint8_t *a = job->a + offsets[0], *b = job->b + offsets[1];
  uint8_t *y = job->y + output_offset;
  if (job->p->is_sum)
    rows_by(job->p, a, b, y, run, sum_of);
  else
    rows_by(job->p, a, b, y, run, product_of);
}

static void part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const qbinary_job *job = context;
  const int64_t count = job->p->walk.count;
  broadcast_walk(&job->p->walk, begin * UNIT, end * UNIT < count ? end * UNIT : count, rows, job);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const qbinary_job job = {p, buffers[0], buffers[1], buffers[2]};
  parallel_for(p->threads, (p->walk.count + UNIT - 1) / UNIT, part, &job);
  if (p->padding.lanes) zero_padding(&p->padding, buffers[2]);
  return KP_OK;
}

#define QBINARY(operator, short_name)                  \
  {KERNEL("portable." #operator ".simd." #short_name), \
   .context = &(const element)ELEMENT_##short_name,    \
   .query = query,                                     \
   .prepare = prepare,                                 \
   .run = run,                                         \
   .release = release_prepared}
static const kp_kernel list[] = {QBINARY(qadd, u8), QBINARY(qadd, i8), QBINARY(qmul, u8),
                                 QBINARY(qmul, i8)};
const kp_kernel_list LEVEL_NAME(qbinary_kernels) = KERNEL_LIST(list);
