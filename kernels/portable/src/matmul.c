/* "matmul" and "linear" by the blocked multiplication; a constant operand is packed. */
#include <stdlib.h>

#include "epilogue.h"
#include "gemm.h"
#include "matmul_problem.h"

#define OVERHEAD 0.3e-6 /* seconds of a run without work */

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

#if REAL_PAIRS
/* Up to 2 * F32_LANES values of a row, as pairs; those past `count` are zero. */
static f32v row_pairs(const uint16_t *row, int64_t count) {
  u16h halves[2];
  int first = count < F32_LANES ? (int)count : F32_LANES;
  int second = count < 2 * F32_LANES ? (int)(count - first) : F32_LANES;
  f32v pairs;
  halves[0] = load_u16_first(row, first);
  halves[1] = second > 0 ? load_u16_first(row + F32_LANES, second) : (u16h){0};
  memcpy(&pairs, halves, sizeof pairs);
  return pairs;
}

/* Of row-major values, [chunk of A_CHUNK pairs][row][A_CHUNK]. */
static void pack_rows_pairs(const products *s, const uint16_t *source, int rows, int64_t p,
                            int64_t count, real *destination) {
  for (int64_t q = 0; q < count; q += A_CHUNK)
    for (int i = 0; i < rows; i++)
      for (int64_t j = q; j < q + A_CHUNK; j += F32_LANES, destination += F32_LANES) {
        int64_t left = s->k - 2 * (p + j);
        store_f32(destination,
                  left > 0 ? row_pairs(source + i * s->k + 2 * (p + j), left) : (f32v){0});
      }
}

/* Of rows of k, [pair][width]. */
static void pack_columns_pairs(int64_t k, int64_t stride, const uint16_t *source, int width,
                               int valid, int64_t p, int64_t count, real *destination) {
  for (int64_t q = p; q < p + count; q++, destination += width)
    for (int i = 0; i < width; i += F32_LANES) {
      int left = valid - i < F32_LANES ? valid - i : F32_LANES, room = width - i;
      f32v first = {0}, second = {0};
      if (left > 0) first = load_bf16_first(source + 2 * q * stride + i, left);
      if (left > 0 && 2 * q + 1 < k)
        second = load_bf16_first(source + (2 * q + 1) * stride + i, left);
      store_f32_first(destination + i, pair_bf16(first, second),
                      room < F32_LANES ? room : F32_LANES);
    }
}

/* Of columns of k, [pair][NR]. */
static void pack_transposed_pairs(int64_t k, const uint16_t *source, int valid, int64_t p,
                                  int64_t count, real *destination) {
  for (int64_t q = 0; q < count; q += F32_LANES) {
    int lanes = count - q < F32_LANES ? (int)(count - q) : F32_LANES;
    for (int j = 0; j < NR; j += F32_LANES) {
      f32v rows[F32_LANES];
      for (int i = 0; i < F32_LANES; i++)
        rows[i] = j + i < valid ? row_pairs(source + (j + i) * k + 2 * (p + q), k - 2 * (p + q))
                                : (f32v){0};
      transpose_f32(rows);
      for (int i = 0; i < lanes; i++) store_f32(destination + (q + i) * NR + j, rows[i]);
    }
  }
}

/* Of row-major values, [pair][rows]. */
static void pack_rows_turned(const products *s, const uint16_t *source, int rows, int64_t p,
                             int64_t count, real *destination) {
  for (int64_t q = p; q < p + count; q++)
    for (int i = 0; i < rows; i++, destination++)
      *destination = row_pairs(source + i * s->k + 2 * q, 2 * q + 1 < s->k ? 2 : 1)[0];
}

static void pack_a(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                   int64_t count, real *destination) {
  const running *r = context;
  const products *s = &r->prepared->shape;
  const uint16_t *a = (const uint16_t *)r->buffers[0] + matmul_batch_offset(s, s->a_strides, batch);
  if (s->a_transposed)
    pack_columns_pairs(s->k, s->m, a + row, rows, rows, p, count, destination);
  else if (r->prepared->g.a_format == A_COLUMNS)
    pack_rows_turned(s, a + row * s->k, rows, p, count, destination);
  else
    pack_rows_pairs(s, a + row * s->k, rows, p, count, destination);
}

static void pack_b(const void *context, int64_t batch, int64_t column, int columns, int64_t p,
                   int64_t count, real *destination) {
  const running *r = context;
  const products *s = &r->prepared->shape;
  const uint16_t *b = (const uint16_t *)r->buffers[1] + matmul_batch_offset(s, s->b_strides, batch);
  if (s->b_transposed)
    pack_transposed_pairs(s->k, b + column * s->k, columns, p, count, destination);
  else
    pack_columns_pairs(s->k, s->n, b + column, NR, columns, p, count, destination);
}

#else

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

/* [k][rows], once for a constant. */
static void pack_rows_turned(storage s, const products *shape, const void *source, int64_t offset,
                             int rows, int64_t count, real *destination) {
  for (int64_t p = 0; p < count; p++)
    for (int i = 0; i < rows; i++, destination++)
      *destination = load_element(s, source, offset + i * shape->k + p);
}

static void pack_columns_of_rows(storage s, int64_t stride, const void *source, int64_t offset,
                                 int width, int valid, int64_t count, real *destination) {
  if (valid == NR) {
    for (int64_t p = 0; p < count; p++, offset += stride, destination += NR)
      for (int i = 0; i < NR; i += REAL_LANES)
        store_real(destination + i, load_stored(s, source, offset + i, REAL_LANES));
    return;
  }
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
  int64_t offset = matmul_batch_offset(s, s->a_strides, batch);
  if (s->a_transposed)
    FOR_STORAGE(r->prepared->stored, pack_columns_of_rows, s->m, r->buffers[0],
                offset + p * s->m + row, rows, rows, count, destination);
  else if (r->prepared->g.a_format == A_COLUMNS)
    FOR_STORAGE(r->prepared->stored, pack_rows_turned, s, r->buffers[0], offset + row * s->k + p,
                rows, count, destination);
  else
    FOR_STORAGE(r->prepared->stored, pack_rows_chunked, s, r->buffers[0], offset + row * s->k + p,
                rows, count, destination);
}

static void pack_b(const void *context, int64_t batch, int64_t column, int columns, int64_t p,
                   int64_t count, real *destination) {
  const running *r = context;
  const products *s = &r->prepared->shape;
  int64_t offset = matmul_batch_offset(s, s->b_strides, batch);
  if (s->b_transposed)
    FOR_STORAGE(r->prepared->stored, pack_columns_transposed, s->k, r->buffers[1],
                offset + column * s->k + p, columns, count, destination);
  else
    FOR_STORAGE(r->prepared->stored, pack_columns_of_rows, s->n, r->buffers[1],
                offset + p * s->n + column, NR, columns, count, destination);
}

#endif

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
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
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
  return (const real *)r->buffers[1] + matmul_batch_offset(s, s->b_strides, batch) + column;
}

static gemm make_gemm(const kp_problem *problem, const products *shape) {
  int packs_b = kp_is_constant(&problem->inputs[1]) && shape->b_batch > 0;
  int packs_a = !packs_b && kp_is_constant(&problem->inputs[0]) && shape->a_batch > 0;
  const real *set_by_run = (const real *)problem;
  int64_t k = REAL_PAIRS ? (shape->k + 1) / 2 : shape->k;
  return (gemm){
      .batch = shape->batch,
      .m = shape->m,
      .n = shape->n,
      .k = k,
      .a_format = shape->a_transposed || packs_a ? A_COLUMNS : A_CHUNKS,
      .micro = &REAL_NAME(micro),
      .threads = problem->threads,
      .packed_a = packs_a ? set_by_run : NULL,
      .packed_b = packs_b ? set_by_run : NULL,
      .packed_count = packs_a ? shape->a_batch : shape->b_batch,
      .packed_stride =
          packs_a ? kernel_round_up(gemm_packed_a_values(shape->m, k, A_COLUMNS), KP_ALIGNMENT)
                  : gemm_packed_b_values(shape->n, k),
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
  if (!matmul_check_tensors(problem, storage_code(stored), storage_bytes(stored) * 8, answer))
    return;
  if (!epilogue_check(problem, answer)) return;
  products shape;
  if (!matmul_read(problem, &shape, answer)) return;
  gemm g = make_gemm(problem, &shape);
  int64_t bytes = kernel_multiply(kernel_multiply(g.packed_stride, g.packed_count), sizeof(real));
  if (bytes == INT64_MAX) return kp_refuse(answer, KP_NO_MEMORY, "b.shape", "sizes below 2^63");
  gemm_plan plan = REAL_BASE_NAME(gemm_make_plan)(&g);
  answer->code = KP_YES;
  answer->scratch_bytes = (uint64_t)REAL_BASE_NAME(gemm_scratch_bytes)(&plan);
  if ((g.packed_a || g.packed_b) && answer->packed_bytes)
    answer->packed_bytes[g.packed_b != NULL] = (uint64_t)bytes;
  double values = (double)shape.n * (double)shape.k * (double)shape.batch;
  double operations = 2.0 * (double)shape.m * values;
  double sums = (double)shape.batch * (double)shape.m * (double)shape.n;
  double work = operations / (LEVEL_RATE * 0.9 * (1 + REAL_PAIRS)) + values * 2e-10 +
                epilogue_seconds(problem, stored, sums);
  answer->cost = OVERHEAD + work / plan.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  matmul_read(problem, &p->shape, &ignored);
  p->stored = *(const storage *)kernel->context;
  p->g = make_gemm(problem, &p->shape);
  p->plan = REAL_BASE_NAME(gemm_make_plan)(&p->g);
  p->has_bias = problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
  p->num_inputs = problem->num_inputs;
  p->alpha = (real)kp_real(problem, "alpha", 0, 1.0);
  p->after = epilogue_read(problem, p->stored, p->steps);
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
  (void)error;
  void *buffers[2] = {NULL};
  kp_prepared plain = *prepared;
  plain.shape.batch_rank = 0;
  running r = {&plain, buffers};
  gemm g = prepared->g;
  g.context = &r;
  int64_t values = prepared->shape.k * (input == 0 ? g.m : g.n);
  int64_t bytes = values * storage_bytes(prepared->stored);
  for (int64_t i = 0; i < g.packed_count; i++) {
    real *packed = (real *)destination + i * g.packed_stride;
    buffers[input] = (char *)source + i * bytes;
    if (input == 0)
      REAL_BASE_NAME(gemm_pack_a)(&g, 0, packed);
    else
      REAL_BASE_NAME(gemm_pack_b)(&g, 0, packed);
  }
  return KP_OK;
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  running r = {prepared, buffers};
  gemm g = prepared->g;
  g.context = &r;
  if (g.packed_a) g.packed_a = buffers[0];
  if (g.packed_b) g.packed_b = buffers[1];
  if (g.batch > 0 && g.m > 0 && g.n > 0) REAL_BASE_NAME(gemm_run)(&g, &prepared->plan, scratch);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define MATMUL(name, stored)                                                \
  {KERNEL(name),       .context = &(const storage){stored}, .query = query, \
   .prepare = prepare, .pack_constant = pack_constant,      .run = run,     \
   .release = release}

static const kp_kernel list[] = {
#if REAL_PAIRS
    MATMUL("portable.matmul.gemm.bf16", STORED_BF16),
    MATMUL("portable.linear.gemm.bf16", STORED_BF16),
#elif REAL_BITS == 64
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
