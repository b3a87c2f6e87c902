/* "matmul" and "linear" by the blocked multiplication; a constant second operand is packed. */
#include <stdlib.h>

#include "epilogue.h"
#include "gemm.h"

#define MAX_RANK 16
#define OVERHEAD 0.3e-6 /* seconds of a run without work */
#define RATE (LEVEL_REGISTERS == 32 ? 1e11 : F32_LANES == 8 ? 1e11 : 2.5e10) /* of one thread */

/* ---- The problem as a batch of products ----------------------------------- */

typedef struct {
  int64_t batch, m, n, k;
  int a_transposed, b_transposed;
  int batch_rank; /* of the dimensions left after collapsing */
  int64_t extents[MAX_RANK], a_strides[MAX_RANK], b_strides[MAX_RANK];
  int64_t b_batch; /* products that b holds when packed; 0: it can't be packed */
} products;

static int is_linear(const kp_problem *problem) {
  return strcmp(problem->operator_name, "linear") == 0;
}

/* The extent of batch dimension `i` (of `rank`, aligned at the end). */
static int64_t batch_extent(const kp_tensor *t, int i, int rank) {
  int own = t->dl.ndim - 2, at = i - (rank - own);
  return at < 0 ? 1 : t->dl.shape[at];
}

/* Returns the subject that doesn't fit, or NULL. */
static const char *read_products(const kp_problem *problem, products *out) {
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = &problem->outputs[0];
  int linear = is_linear(problem), rank = y->dl.ndim - 2;
  *out = (products){.batch = 1};
  out->a_transposed = !linear && kp_integer(problem, "transpose_a", 0, 0) != 0;
  out->b_transposed = linear || kp_integer(problem, "transpose_b", 0, 0) != 0;
  const int64_t *sa = a->dl.shape + a->dl.ndim - 2, *sb = b->dl.shape + b->dl.ndim - 2;
  out->m = sa[out->a_transposed];
  out->k = sa[!out->a_transposed];
  out->n = sb[!out->b_transposed];
  if (sb[out->b_transposed] != out->k) return "b.shape";
  const int64_t *sy = y->dl.shape + rank;
  if (sy[0] != out->m || sy[1] != out->n) return "output.shape";

  int64_t a_stride = out->m * out->k, b_stride = out->k * out->n, a_total = 1, b_total = 1;
  int64_t strides[2][MAX_RANK];
  for (int i = rank - 1; i >= 0; i--) {
    int64_t ea = batch_extent(a, i, rank), eb = batch_extent(b, i, rank);
    int64_t extent = ea == 1 ? eb : ea;
    if (extent != y->dl.shape[i] || (ea != extent && ea != 1) || (eb != extent && eb != 1))
      return "output.shape";
    strides[0][i] = ea == 1 ? 0 : a_stride;
    strides[1][i] = eb == 1 ? 0 : b_stride;
    a_stride *= ea, b_stride *= eb, a_total *= ea, b_total *= eb;
    out->batch *= extent;
  }
  out->b_batch = b_total == 1 ? 1 : b_total == out->batch ? b_total : 0;
  if (b_total == 1 && a_total == out->batch && !out->a_transposed) {
    out->m *= out->batch; /* one product of all rows */
    out->batch = 1;
    return NULL;
  }
  for (int i = 0; i < rank; i++) {
    out->extents[i] = y->dl.shape[i];
    out->a_strides[i] = strides[0][i];
    out->b_strides[i] = strides[1][i];
  }
  out->batch_rank = rank;
  return NULL;
}

static int64_t batch_offset(const products *s, const int64_t *strides, int64_t batch) {
  int64_t offset = 0;
  for (int i = s->batch_rank - 1; i >= 0 && batch > 0; i--) {
    offset += batch % s->extents[i] * strides[i];
    batch /= s->extents[i];
  }
  return offset;
}

/* ---- Prepared -------------------------------------------------------------- */

struct kp_prepared {
  products shape;
  gemm g;
  gemm_plan plan;
  storage stored;
  int has_bias;
  uint32_t num_inputs;
  real alpha;
  epilogue after;
  epilogue_step steps[];
};

/* What the functions of a run see. */
typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
} running;

static void pack_rows_chunked(storage s, const products *shape, const void *source, int64_t offset,
                              int rows, int64_t count, real *destination) {
  for (int64_t p = 0; p < count; p += A_CHUNK)
    for (int i = 0; i < rows; i++)
      for (int q = 0; q < A_CHUNK; q += REAL_LANES, destination += REAL_LANES) {
        int64_t left = count - p - q;
        realv v = left <= 0 ? (realv){0}
                            : load_stored(s, source, offset + i * shape->k + p + q,
                                          left < REAL_LANES ? (int)left : REAL_LANES);
        store_real(destination, v);
      }
}

static void pack_columns_of_rows(storage s, int64_t stride, const void *source, int64_t offset,
                                 int width, int valid, int64_t count, real *destination) {
  for (int64_t p = 0; p < count; p++, destination += width)
    for (int i = 0; i < width; i += REAL_LANES) {
      int left = valid - i, room = width - i;
      realv v = left <= 0 ? (realv){0}
                          : load_stored(s, source, offset + p * stride + i,
                                        left < REAL_LANES ? left : REAL_LANES);
      if (room < REAL_LANES)
        store_real_first(destination + i, v, room);
      else
        store_real(destination + i, v);
    }
}

static void pack_columns_transposed(storage s, int64_t stride, const void *source, int64_t offset,
                                    int valid, int64_t count, real *destination) {
  for (int64_t p = 0; p < count; p += REAL_LANES) {
    int lanes = count - p < REAL_LANES ? (int)(count - p) : REAL_LANES;
    for (int j = 0; j < NR; j += REAL_LANES) {
      realv rows[REAL_LANES];
      for (int q = 0; q < REAL_LANES; q++)
        rows[q] = j + q < valid ? load_stored(s, source, offset + (j + q) * stride + p, lanes)
                                : (realv){0};
      transpose_real(rows);
      for (int q = 0; q < lanes; q++) store_real(destination + (p + q) * NR + j, rows[q]);
    }
  }
}

static void pack_a(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                   int64_t count, real *destination) {
  const running *r = context;
  const products *s = &r->prepared->shape;
  int64_t offset = batch_offset(s, s->a_strides, batch);
  if (s->a_transposed)
    FOR_STORAGE(r->prepared->stored, pack_columns_of_rows, s->m, r->buffers[0],
                offset + p * s->m + row, rows, rows, count, destination);
  else
    FOR_STORAGE(r->prepared->stored, pack_rows_chunked, s, r->buffers[0], offset + row * s->k + p,
                rows, count, destination);
}

static void pack_b(const void *context, int64_t batch, int64_t column, int columns, int64_t p,
                   int64_t count, real *destination) {
  const running *r = context;
  const products *s = &r->prepared->shape;
  int64_t offset = batch_offset(s, s->b_strides, batch);
  if (s->b_transposed)
    FOR_STORAGE(r->prepared->stored, pack_columns_transposed, s->k, r->buffers[1],
                offset + column * s->k + p, columns, count, destination);
  else
    FOR_STORAGE(r->prepared->stored, pack_columns_of_rows, s->n, r->buffers[1],
                offset + p * s->n + column, NR, columns, count, destination);
}

static void finish(const void *context, int64_t batch, int64_t row, int rows, int64_t column,
                   int columns, real *tile, int width) {
  const running *r = context;
  const kp_prepared *prepared = r->prepared;
  const products *s = &prepared->shape;
  real bias[NR];
  if (prepared->has_bias)
    for (int i = 0; i < columns; i += REAL_LANES)
      store_real(bias + i, load_stored(prepared->stored, r->buffers[2], column + i,
                                       columns - i < REAL_LANES ? columns - i : REAL_LANES));
  epilogue_tile t = {
      .values = tile,
      .rows = rows,
      .columns = columns,
      .width = width,
      .scale = prepared->alpha,
      .column_bias = prepared->has_bias ? bias : NULL,
      .output = r->buffers[prepared->num_inputs],
      .offset = (batch * s->m + row) * s->n + column,
      .row_stride = s->n,
  };
  REAL_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

static int place(const void *context, int64_t batch, int64_t row, int64_t column,
                 micro_output *output) {
  const running *r = context;
  const kp_prepared *prepared = r->prepared;
  const products *s = &prepared->shape;
  if (prepared->has_bias) output->column_bias = (const real *)r->buffers[2] + column;
  epilogue_place(&prepared->after, r->buffers, r->buffers[prepared->num_inputs],
                 (batch * s->m + row) * s->n + column, s->n, output);
  return 1;
}

static const real *direct_b(const void *context, int64_t batch, int64_t column) {
  const running *r = context;
  const products *s = &r->prepared->shape;
  return (const real *)r->buffers[1] + batch_offset(s, s->b_strides, batch) + column;
}

static gemm make_gemm(const kp_problem *problem, const products *shape) {
  int pack = kp_is_constant(&problem->inputs[1]) && shape->b_batch > 0;
  return (gemm){
      .batch = shape->batch,
      .m = shape->m,
      .n = shape->n,
      .k = shape->k,
      .a_format = shape->a_transposed ? A_COLUMNS : A_CHUNKS,
      .micro = &REAL_NAME(micro),
      .threads = problem->threads,
      .packed_b = pack ? (const real *)problem : NULL, /* set by run */
      .packed_count = shape->b_batch,
      .packed_stride = gemm_packed_b_values(shape->n, shape->k),
      .pack_a = pack_a,
      .pack_b = pack_b,
      .finish = finish,
  };
}

/* ---- The kernel ------------------------------------------------------------ */

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  storage stored = *(const storage *)kernel->context;
  static const char *const subjects[] = {"a", "b", "bias"}, *const linear[] = {"x", "w", "bias"};
  const char *const *subject = is_linear(problem) ? linear : subjects;
  for (uint32_t i = 0; i < problem->num_inputs + 1; i++) {
    const kp_tensor *t =
        i < problem->num_inputs ? &problem->inputs[i] : &problem->outputs[0];
    const char *name = i < problem->num_operator_inputs ? subject[i]
                       : i < problem->num_inputs        ? "epilogue"
                                                        : "output";
    if (kp_is_absent(t)) continue;
    if (!storage_is(stored, t)) return kp_refuse(answer, KP_NO_DTYPE, name, "the kernel's dtype");
    if (t->quantization) return kp_refuse(answer, KP_NO_QUANTIZATION, name, "none");
    if (!kp_is_layout(t, "nchw") && !kp_is_layout(t, "any"))
      return kp_refuse(answer, KP_NO_LAYOUT, name, "nchw");
    if (answer->layouts) strcpy(answer->layouts[i], "nchw");
  }
  const kp_tensor *y = &problem->outputs[0], *a = &problem->inputs[0], *b = &problem->inputs[1];
  if (a->dl.ndim < 2) return kp_refuse_number(answer, KP_NO_RANK, subject[0], ">= 2", a->dl.ndim);
  if (b->dl.ndim < 2) return kp_refuse_number(answer, KP_NO_RANK, subject[1], ">= 2", b->dl.ndim);
  if (y->dl.ndim < 2 || y->dl.ndim > MAX_RANK)
    return kp_refuse_number(answer, KP_NO_RANK, "output", "2 to 16", y->dl.ndim);
  if (!epilogue_check(problem, answer)) return;
  products shape;
  const char *misfit = read_products(problem, &shape);
  if (misfit) return kp_refuse(answer, KP_NO_SHAPE, misfit, "shapes that go together");
  int64_t packed = gemm_packed_b_values(shape.n, shape.k);
  int64_t bytes = kernel_multiply(kernel_multiply(packed, shape.b_batch), sizeof(real));
  int64_t flops = kernel_multiply(kernel_multiply(shape.m, shape.n), shape.k);
  if (bytes == INT64_MAX || kernel_multiply(flops, shape.batch) == INT64_MAX)
    return kp_refuse(answer, KP_NO_MEMORY, "output.shape", "sizes below 2^63");
  gemm g = make_gemm(problem, &shape);
  gemm_plan plan = REAL_NAME(gemm_make_plan)(&g);
  answer->code = KP_YES;
  answer->scratch_bytes = (uint64_t)REAL_NAME(gemm_scratch_bytes)(&plan);
  if (g.packed_b && answer->packed_bytes) answer->packed_bytes[1] = (uint64_t)bytes;
  double operations = 2.0 * (double)flops * (double)shape.batch;
  double values = (double)shape.n * (double)shape.k * (double)shape.batch;
  answer->cost = OVERHEAD + (operations / (RATE * 0.9) + values * 2e-10) / plan.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) {
    strcpy(error->message, "no memory for a prepared kernel");
    return KP_OUT_OF_MEMORY;
  }
  read_products(problem, &p->shape);
  p->g = make_gemm(problem, &p->shape);
  p->plan = REAL_NAME(gemm_make_plan)(&p->g);
  p->stored = *(const storage *)kernel->context;
  p->has_bias = problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
  p->num_inputs = problem->num_inputs;
  p->alpha = (real)kp_real(problem, "alpha", 0, 1.0);
  p->after = (epilogue){p->stored, (int)problem->num_epilogues, p->steps};
  epilogue_read(problem, p->steps);
  if (p->alpha == 1 && epilogue_is_simple(&p->after)) p->g.place = place;
  /* Packing what is read once or twice takes longer than the product. */
  int is_real = storage_bytes(p->stored) == sizeof(real);
  if (is_real && !p->shape.b_transposed && p->shape.m <= 2 * MR) {
    p->g.direct_b = direct_b;
    p->g.direct_stride = p->shape.n;
  }
  *prepared = p;
  return KP_OK;
}

static kp_status pack_constant(const kp_prepared *prepared, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  void *buffers[2] = {NULL, (void *)source};
  kp_prepared plain = *prepared;
  plain.shape.batch_rank = 0;
  running r = {&plain, buffers};
  gemm g = prepared->g;
  g.context = &r;
  int64_t values = g.k * g.n, bytes = storage_bytes(prepared->stored);
  for (int64_t i = 0; i < prepared->shape.b_batch; i++) {
    buffers[1] = (char *)source + i * values * bytes;
    REAL_NAME(gemm_pack_b)(&g, 0, (real *)destination + i * gemm_packed_b_values(g.n, g.k));
  }
  return KP_OK;
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  running r = {prepared, buffers};
  gemm g = prepared->g;
  g.context = &r;
  if (g.packed_b) g.packed_b = buffers[1];
  if (g.batch > 0 && g.m > 0 && g.n > 0) REAL_NAME(gemm_run)(&g, &prepared->plan, scratch);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define MATMUL(name, stored)                                                                  \
  {                                                                                           \
    KERNEL(name), .context = &(const storage){stored}, .query = query, .prepare = prepare,    \
                  .pack_constant = pack_constant, .run = run, .release = release              \
  }

static const kp_kernel list[] = {
#if REAL_BITS == 64
    MATMUL("portable.matmul.gemm.f64", STORED_F64),
    MATMUL("portable.linear.gemm.f64", STORED_F64),
#else
    MATMUL("portable.matmul.gemm.f32", STORED_F32),
    MATMUL("portable.matmul.gemm.bf16", STORED_BF16),
    MATMUL("portable.matmul.gemm.f16", STORED_F16),
    MATMUL("portable.linear.gemm.f32", STORED_F32),
    MATMUL("portable.linear.gemm.bf16", STORED_BF16),
    MATMUL("portable.linear.gemm.f16", STORED_F16),
#endif
};
const kp_kernel_list REAL_KERNELS(matmul) = KERNEL_LIST(list);
