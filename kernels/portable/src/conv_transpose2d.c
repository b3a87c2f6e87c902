/*
 * conv_transpose2d as a matrix product, (filters, taps) by channels times channels by pixels,
 * whose rows are then added up where taps of neighbouring pixels meet.
 */
#include <stdlib.h>

#include "conv2d_problem.h"
#include "gemm.h"
#include "parallel.h"
#include "pixels.h"

#define OVERHEAD 0.8e-6 /* seconds of a run without work */
#define RATE (0.8 * LEVEL_RATE)

typedef struct {
  conv2d pixels; /* the product's second matrix: the input's pixels as one row of a 1x1 kernel */
  int64_t batch, groups, group_filters, height, width, out_height, out_width;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
} transposed;

struct kp_prepared {
  transposed shape;
  gemm g;
  gemm_plan plan;
  storage stored;
  int has_bias, packs_weights, threads;
  uint32_t num_inputs;
  int64_t weights_values, columns_values, row_values;
  epilogue after;
  epilogue_step steps[];
};

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  real *columns; /* [filters of a group * taps][pixels] */
  real *rows;    /* each thread's */
  int64_t product;
} running;

static int64_t taps(const transposed *s) { return s->kernel_h * s->kernel_w; }
static int64_t pixels(const transposed *s) { return s->height * s->width; }

/* ---- The product ----------------------------------------------------------- */

static void pack_pixels(const void *context, int64_t batch, int64_t column, int columns, int64_t p,
                        int64_t count, real *destination) {
  const running *r = context;
  const conv2d *s = &r->prepared->shape.pixels;
  (void)batch;
  REAL_NAME(pixels_pack)(s, r->prepared->stored, r->buffers[0],
                         r->product * s->group_channels * conv2d_in_size(s), column, columns, NR, p,
                         count, destination);
}

LEVEL_INLINE void pack_rows(storage stored, const void *w, int64_t offset, int64_t stride, int rows,
                            int64_t count, real *destination) {
  for (int64_t c = 0; c < count; c++, destination += rows)
    for (int i = 0; i < rows; i++)
      destination[i] = load_element(stored, w, offset + c * stride + i);
}

static void pack_weights_rows(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                              int64_t count, real *destination) {
  const running *r = context;
  const gemm *g = &r->prepared->g;
  FOR_STORAGE(r->prepared->stored, pack_rows, r->buffers[1], (batch * g->k + p) * g->m + row, g->m,
              rows, count, destination);
}

static void keep_tile(const void *context, int64_t batch, int64_t row, int rows, int64_t column,
                      int columns, real *tile, int width) {
  const running *r = context;
  (void)batch;
  real *destination = r->columns + row * r->prepared->g.n + column;
  for (int i = 0; i < rows; i++, destination += r->prepared->g.n, tile += width)
    for (int j = 0; j < columns; j++) destination[j] = tile[j];
}

/* ---- The sums of taps ------------------------------------------------------- */

/* Adds tap j of one row of pixels into an output row. */
static void add_row(const transposed *s, int64_t j, const real *from, real *row) {
  int64_t at = j * s->dilation_w - s->pad_left, begin = 0, end = s->width;
  if (at < 0) begin = (-at + s->stride_w - 1) / s->stride_w;
  if (at + (end - 1) * s->stride_w >= s->out_width)
    end = at >= s->out_width ? 0 : (s->out_width - 1 - at) / s->stride_w + 1;
  if (s->stride_w == 1)
    for (int64_t x = begin; x < end; x++) row[at + x] += from[x];
  else
    for (int64_t x = begin; x < end; x++) row[at + x * s->stride_w] += from[x];
}

/* Output row `y` of filter `filter` of the product's group. */
static void finish_row(const running *r, int64_t filter, int64_t y, real *row) {
  const kp_prepared *p = r->prepared;
  const transposed *s = &p->shape;
  memset(row, 0, (size_t)p->row_values * sizeof *row);
  for (int64_t i = 0; i < s->kernel_h; i++) {
    int64_t from = y + s->pad_top - i * s->dilation_h;
    if (from < 0 || from % s->stride_h || from / s->stride_h >= s->height) continue;
    for (int64_t j = 0; j < s->kernel_w; j++)
      add_row(s, j,
              r->columns + ((filter * s->kernel_h + i) * s->kernel_w + j) * pixels(s) +
                  from / s->stride_h * s->width,
              row);
  }
  real bias = 0;
  if (p->has_bias)
    bias =
        load_element(p->stored, r->buffers[2], r->product % s->groups * s->group_filters + filter);
  epilogue_tile t = {
      .values = row,
      .rows = 1,
      .columns = (int)s->out_width,
      .width = (int)p->row_values,
      .scale = 1,
      .row_bias = &bias,
      .output = r->buffers[p->num_inputs],
      .offset = ((r->product * s->group_filters + filter) * s->out_height + y) * s->out_width,
  };
  REAL_BASE_NAME(epilogue_store)(&p->after, r->buffers, &t);
}

static void finish_rows(const void *context, int64_t begin, int64_t end, int thread) {
  const running *r = context;
  const transposed *s = &r->prepared->shape;
  real *row = r->rows + thread * r->prepared->row_values;
  for (int64_t i = begin; i < end; i++) finish_row(r, i / s->out_height, i % s->out_height, row);
}

/* ---- The kernel ------------------------------------------------------------- */

static int read_problem(const kp_problem *problem, storage stored, transposed *out,
                        kp_answer *answer) {
  conv2d s;
  if (!conv2d_read_transposed(problem, stored, &s, answer)) return 0;
  int64_t columns =
      kernel_multiply(kernel_multiply(s.group_filters, conv2d_taps(&s)), conv2d_in_size(&s));
  if (kernel_multiply(columns, 64) == INT64_MAX) {
    kp_refuse(answer, KP_NO_MEMORY, "w.shape", "fewer than 2^57 products");
    return 0;
  }
  *out = (transposed){
      .pixels = {.batch = s.batch,
                 .channels = s.channels,
                 .height = 1,
                 .width = conv2d_in_size(&s),
                 .filters = s.filters,
                 .out_height = 1,
                 .out_width = conv2d_in_size(&s),
                 .kernel_h = 1,
                 .kernel_w = 1,
                 .stride_h = 1,
                 .stride_w = 1,
                 .dilation_h = 1,
                 .dilation_w = 1,
                 .groups = s.groups,
                 .group_channels = s.group_channels,
                 .group_filters = s.group_filters},
      .batch = s.batch,
      .groups = s.groups,
      .group_filters = s.group_filters,
      .height = s.height,
      .width = s.width,
      .out_height = s.out_height,
      .out_width = s.out_width,
      .kernel_h = s.kernel_h,
      .kernel_w = s.kernel_w,
      .stride_h = s.stride_h,
      .stride_w = s.stride_w,
      .pad_top = s.pad_top,
      .pad_left = s.pad_left,
      .dilation_h = s.dilation_h,
      .dilation_w = s.dilation_w,
  };
  return 1;
}

static gemm make_gemm(const kp_problem *problem, const transposed *s) {
  gemm g = {
      .batch = 1, /* one product at a time shares the columns' memory */
      .m = s->group_filters * taps(s),
      .n = pixels(s),
      .k = s->pixels.group_channels,
      .a_format = A_COLUMNS,
      .micro = &REAL_NAME(micro),
      .threads = problem->threads,
      .packed_a = (const real *)problem, /* set by run */
      .packed_count = s->groups,
      .pack_a = pack_weights_rows,
      .pack_b = pack_pixels,
      .finish = keep_tile,
  };
  g.packed_stride = kernel_round_up(gemm_packed_a_values(g.m, g.k, A_COLUMNS), KP_ALIGNMENT);
  return g;
}

static kp_prepared describe(const kp_problem *problem, const transposed *s) {
  kp_prepared p = {.shape = *s, .g = make_gemm(problem, s)};
  p.plan = REAL_BASE_NAME(gemm_make_plan)(&p.g);
  p.packs_weights = !kp_is_constant(&problem->inputs[1]);
  p.weights_values = p.g.packed_stride * p.g.packed_count;
  p.columns_values = kernel_round_up(p.g.m * p.g.n, KP_ALIGNMENT);
  p.row_values = kernel_round_up(s->out_width, KP_ALIGNMENT);
  double moved = (double)s->group_filters * (double)(s->out_height * s->out_width);
  p.threads = kernel_threads(moved * (double)taps(s) * 3e-10, problem->threads);
  return p;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  transposed s;
  if (!read_problem(problem, *(const storage *)kernel->context, &s, answer)) return;
  if (!conv2d_layouts(problem, "nchw", answer)) return;
  kp_prepared p = describe(problem, &s);
  int64_t values = p.columns_values + p.threads * p.row_values;
  if (p.packs_weights)
    values += p.weights_values;
  else if (answer->packed_bytes)
    answer->packed_bytes[1] = (uint64_t)p.weights_values * sizeof(real);
  answer->code = KP_YES;
  answer->scratch_bytes =
      (uint64_t)values * sizeof(real) + (uint64_t)REAL_BASE_NAME(gemm_scratch_bytes)(&p.plan);
  double products = (double)(s.batch * s.groups);
  double flops = 2.0 * (double)p.g.m * (double)p.g.n * (double)p.g.k;
  double moved = (double)p.g.m * (double)p.g.n * 1.2e-9;
  answer->cost = OVERHEAD + kernel_team_seconds(p.plan.threads) +
                 products * (flops / RATE * (REAL_BITS / 32) + moved) / p.plan.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  transposed s;
  storage stored = *(const storage *)kernel->context;
  read_problem(problem, stored, &s, &ignored);
  *p = describe(problem, &s);
  p->stored = stored;
  p->has_bias = conv2d_has_bias(problem);
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, stored, p->steps);
  *prepared = p;
  return KP_OK;
}

static void pack_weights(const kp_prepared *prepared, const void *source, real *destination) {
  void *buffers[2] = {NULL, (void *)source};
  running r = {.prepared = prepared, .buffers = buffers};
  gemm g = prepared->g;
  g.context = &r;
  for (int64_t i = 0; i < g.packed_count; i++)
    REAL_BASE_NAME(gemm_pack_a)(&g, i, destination + i * g.packed_stride);
}

static kp_status pack_constant(const kp_prepared *prepared, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_weights(prepared, source, destination);
  return KP_OK;
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  const transposed *s = &prepared->shape;
  if (s->out_height * s->out_width * s->group_filters == 0) return KP_OK;
  running r = {.prepared = prepared, .buffers = buffers, .columns = scratch};
  r.rows = r.columns + prepared->columns_values;
  real *rest = r.rows + prepared->threads * prepared->row_values;
  gemm g = prepared->g;
  g.context = &r;
  const real *weights = buffers[1];
  if (prepared->packs_weights) {
    pack_weights(prepared, buffers[1], rest);
    weights = rest;
    rest += prepared->weights_values;
  }
  for (r.product = 0; r.product < s->batch * s->groups; r.product++) {
    g.packed_a = weights + r.product % s->groups * g.packed_stride;
    if (g.m > 0 && g.n > 0) REAL_BASE_NAME(gemm_run)(&g, &prepared->plan, rest);
    parallel_for(prepared->threads, s->group_filters * s->out_height, finish_rows, &r);
  }
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define CONV_TRANSPOSE2D(name, stored)                                      \
  {KERNEL(name),       .context = &(const storage){stored}, .query = query, \
   .prepare = prepare, .pack_constant = pack_constant,      .run = run,     \
   .release = release}

static const kp_kernel list[] = {
#if REAL_BITS == 64
    CONV_TRANSPOSE2D("portable.conv_transpose2d.gemm.f64", STORED_F64),
#else
    CONV_TRANSPOSE2D("portable.conv_transpose2d.gemm.f32", STORED_F32),
    CONV_TRANSPOSE2D("portable.conv_transpose2d.gemm.bf16", STORED_BF16),
    CONV_TRANSPOSE2D("portable.conv_transpose2d.gemm.f16", STORED_F16),
#endif
};
const kp_kernel_list REAL_KERNELS(conv_transpose2d) = KERNEL_LIST(list);
