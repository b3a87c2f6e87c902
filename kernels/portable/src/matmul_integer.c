/* "matmul" and "linear" of integers: sums wrap around, as NumPy's do. */
#include <stdlib.h>

#include "kernel.h"
#include "matmul_problem.h"
#include "parallel.h"

#define OVERHEAD 0.3e-6
#define RATE 2e9 /* operations a second of one thread */

struct kp_prepared {
  products shape;
  int bits, threads, has_bias;
  uint32_t num_inputs;
};

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
} running;

/* Row `row` of product `batch`. Unsigned, because signed overflow is undefined. */
#define DEFINE_ROW(type)                                                                        \
  static void row_##type(const running *r, int64_t batch, int64_t row) {                        \
    const products *s = &r->prepared->shape;                                                    \
    const type *a = (const type *)r->buffers[0] + matmul_batch_offset(s, s->a_strides, batch) + \
                    row * (s->a_transposed ? 1 : s->k);                                         \
    const type *b = (const type *)r->buffers[1] + matmul_batch_offset(s, s->b_strides, batch);  \
    const type *bias = r->prepared->has_bias ? (const type *)r->buffers[2] : NULL;              \
    type *y = (type *)r->buffers[r->prepared->num_inputs] + (batch * s->m + row) * s->n;        \
    int64_t a_step = s->a_transposed ? s->m : 1;                                                \
    int64_t b_row = s->b_transposed ? 1 : s->n, b_column = s->b_transposed ? s->k : 1;          \
    for (int64_t j = 0; j < s->n; j++) y[j] = bias ? bias[j] : 0;                               \
    for (int64_t p = 0; p < s->k; p++) {                                                        \
      type x = a[p * a_step];                                                                   \
      for (int64_t j = 0; j < s->n; j++) y[j] += x * b[p * b_row + j * b_column];               \
    }                                                                                           \
  }
DEFINE_ROW(uint32_t)
DEFINE_ROW(uint64_t)

static void rows(const void *context, int64_t begin, int64_t end, int thread) {
  const running *r = context;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    if (r->prepared->bits == 32)
      row_uint32_t(r, i / r->prepared->shape.m, i % r->prepared->shape.m);
    else
      row_uint64_t(r, i / r->prepared->shape.m, i % r->prepared->shape.m);
  }
}

static double work_seconds(const products *s) {
  return 2.0 * (double)s->batch * (double)s->m * (double)s->n * (double)s->k / RATE;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  products shape;
  if (!matmul_check_tensors(problem, kDLInt, *(const int *)kernel->context, answer)) return;
  if (!matmul_read(problem, &shape, answer)) return;
  if (problem->num_epilogues)
    return kp_refuse_number(answer, KP_NO_EPILOGUE, "epilogue", "none for integers",
                            problem->num_epilogues);
  if (kp_real(problem, "alpha", 0, 1) != 1)
    return kp_refuse(answer, KP_NO_ATTRIBUTE, "alpha", "1 for integers");
  answer->code = KP_YES;
  double work = work_seconds(&shape);
  answer->cost = OVERHEAD + work / kernel_threads(work, problem->threads);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  matmul_read(problem, &p->shape, &ignored);
  p->bits = *(const int *)kernel->context;
  p->threads = kernel_threads(work_seconds(&p->shape), problem->threads);
  p->has_bias = problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
  p->num_inputs = problem->num_inputs;
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)scratch, (void)queue;
  running r = {prepared, buffers};
  parallel_for(prepared->threads, prepared->shape.batch * prepared->shape.m, rows, &r);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define MATMUL(name, bits)                           \
  {                                                  \
      KERNEL(name),   .context = &(const int){bits}, \
      .query = query, .prepare = prepare,            \
      .run = run,     .release = release}

static const kp_kernel list[] = {
    MATMUL("portable.matmul.rows.i32", 32),
    MATMUL("portable.matmul.rows.i64", 64),
    MATMUL("portable.linear.rows.i32", 32),
    MATMUL("portable.linear.rows.i64", 64),
};
const kp_kernel_list matmul_integer_kernels = KERNEL_LIST(list);
