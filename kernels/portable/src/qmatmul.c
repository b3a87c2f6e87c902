/* "qmatmul" and "matmul_integer" by the blocked multiplication of bytes; a constant second operand
 * is packed. */
#include "matmul_problem.h"
#include "qproduct.h"

#define OVERHEAD 0.4e-6

struct kp_prepared {
  products shape;
  qgemm g;
  qgemm_plan plan;
  qproduct_points points; /* of sums */
  int gives_sums, has_bias, packs;
  uint32_t num_inputs;
  int64_t b_products; /* that are packed */
};

typedef struct {
  const products *shape;
  const uint8_t *a;
  dot_source source;
} running;

static void pack_rows(const void *context, int64_t batch, int64_t row, int rows, dot_value *to,
                      int64_t stride) {
  const running *r = context;
  const products *s = r->shape;
  const uint8_t *from = r->a + matmul_batch_offset(s, s->a_strides, batch) + row * s->k;
  for (int i = 0; i < rows; i++) dot_copy(to + i * stride, from + i * s->k, s->k, r->source);
}

static const uint8_t *place_rows(const void *context, int64_t batch, int64_t row) {
  const running *r = context;
  return r->a + matmul_batch_offset(r->shape, r->shape->a_strides, batch) + row * r->shape->k;
}

/* Products of b in its own memory: one for all, one each, or those that broadcast. */
static int64_t products_of_b(const kp_problem *problem) {
  const kp_tensor *b = &problem->inputs[1];
  return extent_product(b->dl.shape, 0, b->dl.ndim - 2);
}

static int read_problem(const kp_problem *problem, kp_prepared *p, kp_answer *answer) {
  if (!matmul_read(problem, &p->shape, answer)) return 0;
  const products *s = &p->shape;
  p->gives_sums = qproduct_gives_sums(problem);
  if (p->gives_sums) p->points = qproduct_read_points(problem);
  p->has_bias = !p->gives_sums && qproduct_has_bias(problem);
  p->packs = !kp_is_constant(&problem->inputs[1]);
  p->num_inputs = problem->num_inputs;
  p->b_products = products_of_b(problem);
  p->g = (qgemm){.batch = s->batch,
                 .m = s->m,
                 .n = s->n,
                 .k = s->k,
                 .packed_count = 1,
                 .packed_stride = qgemm_packed_bytes(s->n, s->k),
                 .y_batch_stride = s->m * s->n,
                 .y_row_stride = s->n,
                 .pack_rows = pack_rows};
  qproduct_read(problem, &p->g);
  if (qgemm_reads_bytes(&p->g)) p->g.place_rows = place_rows, p->g.rows_stride = s->k;
  p->plan = LEVEL_NAME(qgemm_make_plan)(&p->g);
  if (kernel_multiply(p->g.packed_stride, p->b_products) != INT64_MAX) return 1;
  kp_refuse(answer, KP_NO_MEMORY, "b.shape", "sizes below 2^63");
  return 0;
}

static int64_t packed_bytes(const kp_prepared *p) {
  return kernel_round_up(p->g.packed_stride * p->b_products, KP_ALIGNMENT);
}

/* Zero points that come as inputs. */
static int64_t points_bytes(const kp_prepared *p) {
  return p->gives_sums ? qproduct_points_bytes(1, qgemm_columns_count(p->g.n)) : 0;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  kp_prepared p;
  if (refuse_element(problem->inputs, answer, "a.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW) || !read_problem(problem, &p, answer))
    return;
  const int64_t scratch = LEVEL_NAME(qgemm_scratch_bytes)(&p.plan) + points_bytes(&p);
  const double cost = OVERHEAD + LEVEL_NAME(qgemm_seconds)(&p.g) / p.plan.threads +
                      kernel_team_seconds(p.plan.threads);
  qproduct_answer(problem, answer, cost, scratch, packed_bytes(&p));
}

static void release(kp_prepared *p) {
  qproduct_release_columns(&p->g.columns);
  free(p);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  read_problem(problem, p, &ignored);
  if (!qproduct_make_columns(problem, 1, p->g.n, qgemm_columns_count(p->g.n), &p->g.columns)) {
    release(p);
    return refuse_memory(error);
  }
  *prepared = p;
  return KP_OK;
}

static void pack_b(const kp_prepared *p, const uint8_t *source, char *destination) {
  const products *s = &p->shape;
  for (int64_t i = 0; i < p->b_products; i++) {
    const qgemm_b b = {.values = source + i * s->k * s->n,
                       .channels = s->k + !s->k,
                       .row_taps = 1,
                       .channel_stride = s->n,
                       .column_stride = 1,
                       .zeros = p->gives_sums ? NULL : p->g.columns.zeros,
                       .zero = qproduct_packed_zero(&p->points)};
    LEVEL_NAME(qgemm_pack_b)(&p->g, &b, destination + i * p->g.packed_stride);
  }
}

static kp_status pack_constant(const kp_prepared *p, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_b(p, source, destination);
  return KP_OK;
}

/* A run of one product after another, where b's broadcast. */
static void run_each(const kp_prepared *p, qgemm g, running r, void *scratch) {
  const products *s = &p->shape;
  const char *packed = g.packed_b;
  uint8_t *y = g.y;
  int32_t *sums = g.sums;
  const uint8_t *a = r.a;
  const int64_t size = s->k * s->n;
  products one = *s;
  one.batch_rank = 0;
  r.shape = &one;
  g.batch = 1;
  g.context = &r;
  for (int64_t i = 0; i < s->batch; i++) {
    r.a = a + matmul_batch_offset(s, s->a_strides, i);
    const int64_t number = size ? matmul_batch_offset(s, s->b_strides, i) / size : 0;
    g.packed_b = packed + number * g.packed_stride;
    if (sums)
      g.sums = sums + i * g.y_batch_stride;
    else
      g.y = y + i * g.y_batch_stride;
    LEVEL_NAME(qgemm_run)(&g, &p->plan, scratch);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  qgemm g = p->g;
  if (g.batch == 0 || g.m == 0 || g.n == 0) return KP_OK;
  g.packed_b = buffers[1];
  if (p->packs) {
    pack_b(p, buffers[1], scratch);
    g.packed_b = scratch;
    scratch = (char *)scratch + packed_bytes(p);
  }
  if (p->gives_sums) {
    qproduct_take_points(&p->points, buffers, 1, scratch, &g);
    scratch = (char *)scratch + points_bytes(p);
    g.sums = buffers[p->num_inputs];
  } else {
    g.y = buffers[p->num_inputs];
  }
  g.bias = p->has_bias ? buffers[2] : NULL;
  const running r = {&p->shape, buffers[0], dot_row_source(g.a)};
  g.context = &r;
  if (p->shape.b_batch > 0) {
    g.packed_count = p->shape.b_batch;
    LEVEL_NAME(qgemm_run)(&g, &p->plan, scratch);
  } else {
    run_each(p, g, r, scratch);
  }
  return KP_OK;
}

#define GEMM(operator, short_name)                     \
  {KERNEL("portable." #operator ".gemm." #short_name), \
   .context = &(const element)ELEMENT_##short_name,    \
   .query = query,                                     \
   .prepare = prepare,                                 \
   .pack_constant = pack_constant,                     \
   .run = run,                                         \
   .release = release}
static const kp_kernel list[] = {GEMM(qmatmul, u8), GEMM(qmatmul, i8), GEMM(matmul_integer, u8),
                                 GEMM(matmul_integer, i8)};
const kp_kernel_list LEVEL_NAME(qmatmul_kernels) = KERNEL_LIST(list);
