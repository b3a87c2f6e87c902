/*
 * conv2d as one matrix product per image and group: filters by (taps, channels), times (taps,
 * channels) by output pixels. The second matrix is never stored whole: its tiles are packed from
 * the image while they are needed. Where pixels don't fill vectors, they become the product's
 * rows and the filters its columns, and tiles are transposed on their way out.
 */
#include <stdlib.h>

#include "conv2d_problem.h"
#include "gemm.h"
#include "pixels.h"

#define OVERHEAD 0.4e-6 /* seconds of a run without work */

struct kp_prepared {
  conv2d shape;
  gemm g;
  gemm_plan plan;
  storage stored;
  int has_bias, pixels_in_rows, packs_weights;
  uint32_t num_inputs;
  int64_t weights_bytes; /* of scratch, where they are packed by each run */
  epilogue after;
  epilogue_step steps[];
};

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
} running;

/* ---- Packing --------------------------------------------------------------- */

static int64_t image_offset(const conv2d *s, int64_t batch) {
  return batch * s->group_channels * conv2d_in_size(s);
}

static void pack_pixel_rows(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                            int64_t count, real *destination) {
  const running *r = context;
  const conv2d *s = &r->prepared->shape;
  REAL_NAME(pixels_pack)(s, r->prepared->stored, r->buffers[0], image_offset(s, batch), row, rows,
                         rows, p, count, destination);
}

static void pack_pixel_columns(const void *context, int64_t batch, int64_t column, int columns,
                               int64_t p, int64_t count, real *destination) {
  const running *r = context;
  const conv2d *s = &r->prepared->shape;
  REAL_NAME(pixels_pack)(s, r->prepared->stored, r->buffers[0], image_offset(s, batch), column,
                         columns, NR, p, count, destination);
}

static const real *direct_pixels(const void *context, int64_t batch, int64_t column) {
  const running *r = context;
  const conv2d *s = &r->prepared->shape;
  return (const real *)r->buffers[0] + image_offset(s, batch) + column;
}

/* Filters [first, first + filters) of group `batch`, `width` values for each (tap, channel). */
#if REAL_PAIRS
static void pack_filters(const kp_prepared *p, const void *w, int64_t batch, int64_t first,
                         int filters, int width, real *destination) {
  const conv2d *s = &p->shape;
  int64_t taps = conv2d_taps(s), filter_size = s->group_channels * taps;
  int64_t offset = (batch * s->group_filters + first) * filter_size;
  const uint16_t *values = (const uint16_t *)w + offset;
  for (int64_t tap = 0; tap < taps; tap++)
    for (int64_t c = 0; c < s->group_channels; c += 2, destination += width)
      for (int i = 0; i < width; i++) {
        uint16_t pair[2] = {0, 0};
        if (i < filters) pair[0] = values[i * filter_size + c * taps + tap];
        if (i < filters && c + 1 < s->group_channels)
          pair[1] = values[i * filter_size + (c + 1) * taps + tap];
        memcpy(&destination[i], pair, sizeof pair);
      }
}
#else
LEVEL_INLINE void pack_stored(storage stored, const conv2d *s, const void *w, int64_t batch,
                              int64_t first, int filters, int width, real *destination) {
  int64_t taps = conv2d_taps(s), filter_size = s->group_channels * taps;
  int64_t offset = (batch * s->group_filters + first) * filter_size;
  for (int64_t tap = 0; tap < taps; tap++)
    for (int64_t c = 0; c < s->group_channels; c++, destination += width)
      for (int i = 0; i < width; i++)
        destination[i] =
            i < filters ? load_element(stored, w, offset + i * filter_size + c * taps + tap) : 0;
}

static void pack_filters(const kp_prepared *p, const void *w, int64_t batch, int64_t first,
                         int filters, int width, real *destination) {
  FOR_STORAGE(p->stored, pack_stored, &p->shape, w, batch, first, filters, width, destination);
}
#endif

static void pack_filter_rows(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                             int64_t count, real *destination) {
  const running *r = context;
  (void)p, (void)count;
  pack_filters(r->prepared, r->buffers[1], batch, row, rows, rows, destination);
}

static void pack_filter_columns(const void *context, int64_t batch, int64_t column, int columns,
                                int64_t p, int64_t count, real *destination) {
  const running *r = context;
  (void)p, (void)count;
  pack_filters(r->prepared, r->buffers[1], batch, column, columns, NR, destination);
}

/* ---- Storing --------------------------------------------------------------- */

static void load_bias(const kp_prepared *prepared, const void *bias, int64_t first, int count,
                      real *values) {
  for (int i = 0; i < count; i++) values[i] = load_element(prepared->stored, bias, first + i);
}

static void store_filter_rows(const void *context, int64_t batch, int64_t row, int rows,
                              int64_t column, int columns, real *tile, int width) {
  const running *r = context;
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  int64_t filter = batch % s->groups * s->group_filters + row;
  real bias[MR];
  if (prepared->has_bias) load_bias(prepared, r->buffers[2], filter, rows, bias);
  epilogue_tile t = {
      .values = tile,
      .rows = rows,
      .columns = columns,
      .width = width,
      .scale = 1,
      .row_bias = prepared->has_bias ? bias : NULL,
      .output = r->buffers[prepared->num_inputs],
      .offset = (batch * s->group_filters + row) * conv2d_out_size(s) + column,
      .row_stride = conv2d_out_size(s),
  };
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

static int place_filter_rows(const void *context, int64_t batch, int64_t row, int64_t column,
                             micro_output *output) {
  const running *r = context;
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  if (prepared->has_bias)
    output->row_bias = (const real *)r->buffers[2] + batch % s->groups * s->group_filters + row;
  epilogue_place(&prepared->after, r->buffers, r->buffers[prepared->num_inputs],
                 (batch * s->group_filters + row) * conv2d_out_size(s) + column, conv2d_out_size(s),
                 output);
  return 1;
}

#define PIXEL_VECTORS ((MR + REAL_LANES - 1) / REAL_LANES)

static void store_pixel_rows(const void *context, int64_t batch, int64_t row, int rows,
                             int64_t column, int columns, real *tile, int width) {
  const running *r = context;
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  int64_t filter = batch % s->groups * s->group_filters + column;
  real bias[NR], turned[NR * PIXEL_VECTORS * REAL_LANES];
  if (prepared->has_bias) load_bias(prepared, r->buffers[2], filter, columns, bias);
  for (int j = 0; j < columns; j += REAL_LANES)
    for (int v = 0; v < PIXEL_VECTORS; v++) {
      realv block[REAL_LANES];
      for (int i = 0; i < REAL_LANES; i++) {
        int pixel = v * REAL_LANES + i;
        block[i] = pixel < rows ? load_real(tile + pixel * width + j) : (realv){0};
      }
      transpose_real(block);
      for (int i = 0; i < REAL_LANES; i++)
        store_real(turned + ((j + i) * PIXEL_VECTORS + v) * REAL_LANES, block[i]);
    }
  epilogue_tile t = {
      .values = turned,
      .rows = columns,
      .columns = rows,
      .width = PIXEL_VECTORS * REAL_LANES,
      .scale = 1,
      .row_bias = prepared->has_bias ? bias : NULL,
      .output = r->buffers[prepared->num_inputs],
      .offset = (batch * s->group_filters + column) * conv2d_out_size(s) + row,
      .row_stride = conv2d_out_size(s),
  };
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

/* ---- The plan -------------------------------------------------------------- */

/* A 1x1 convolution that skips nothing. */
static int is_pointwise(const conv2d *s) {
  return conv2d_taps(s) == 1 && s->stride_h == 1 && s->stride_w == 1 && !s->pad_top &&
         !s->pad_left && s->out_height == s->height && s->out_width == s->width;
}

/* Such a one sees the image as one row. */
static void flatten(conv2d *s) {
  if (!is_pointwise(s)) return;
  s->width = s->out_width = conv2d_in_size(s);
  s->height = s->out_height = 1;
}

/* Vector multiplications in relation to useful lanes. */
static double waste(int64_t lanes, int64_t count) {
  return (double)kernel_round_up(count, lanes) / (double)count;
}

static gemm make_gemm(const kp_problem *problem, const conv2d *s, int *pixels_in_rows) {
  int64_t pixels = conv2d_out_size(s), filters = s->group_filters;
  /* Transposing costs about as much as two rows of k for each row of the tile. */
  double k = (double)(s->group_channels * conv2d_taps(s));
  double as_columns = waste(REAL_LANES, pixels);
  double as_rows = waste(REAL_LANES, filters) * (1 + 12 / (k + 1));
  *pixels_in_rows = pixels > 0 && filters > 0 && as_rows < as_columns;
  gemm g = {
      .batch = s->batch * s->groups,
      .k = (REAL_PAIRS ? (s->group_channels + 1) / 2 : s->group_channels) * conv2d_taps(s),
      .a_format = A_COLUMNS,
      .micro = &REAL_NAME(micro),
      .threads = problem->threads,
      .packed_count = s->groups,
  };
  const real *set_by_run = (const real *)problem;
  if (*pixels_in_rows) {
    g.m = pixels, g.n = filters;
    g.packed_b = set_by_run;
    g.packed_stride = gemm_packed_b_values(g.n, g.k);
    g.pack_a = pack_pixel_rows;
    g.pack_b = pack_filter_columns;
    g.finish = store_pixel_rows;
  } else {
    g.m = filters, g.n = pixels;
    g.packed_a = set_by_run;
    g.packed_stride = kernel_round_up(gemm_packed_a_values(g.m, g.k, A_COLUMNS), KP_ALIGNMENT);
    g.pack_a = pack_filter_rows;
    g.pack_b = pack_pixel_columns;
    g.finish = store_filter_rows;
  }
  return g;
}

static int64_t weights_bytes(const gemm *g) {
  int64_t values = kernel_multiply(g->packed_stride, g->packed_count);
  return kernel_round_up(kernel_multiply(values, sizeof(real)), KP_ALIGNMENT);
}

/* ---- The kernel ------------------------------------------------------------ */

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  conv2d s;
  storage stored = *(const storage *)kernel->context;
  if (!conv2d_read(problem, stored, &s, answer)) return;
  if (!conv2d_layouts(problem, "nchw", answer)) return;
  flatten(&s);
  int pixels_in_rows;
  gemm g = make_gemm(problem, &s, &pixels_in_rows);
  gemm_plan plan = REAL_BASE_NAME(gemm_make_plan)(&g);
  int64_t scratch = REAL_BASE_NAME(gemm_scratch_bytes)(&plan);
  answer->code = KP_YES;
  if (kp_is_constant(&problem->inputs[1])) {
    if (answer->packed_bytes) answer->packed_bytes[1] = (uint64_t)weights_bytes(&g);
  } else {
    scratch += weights_bytes(&g);
  }
  answer->scratch_bytes = (uint64_t)scratch;
  double lanes = conv2d_out_size(&s) * s.filters == 0 ? 1
                 : pixels_in_rows ? waste(REAL_LANES, g.n) * (1 + 12 / ((double)g.k + 1))
                                  : waste(REAL_LANES, g.n);
  double work = conv2d_flops(&s) / LEVEL_RATE * lanes * (REAL_BITS / 32) / (1 + REAL_PAIRS);
  work *= 1.05 + 6 / (double)(s.group_filters + 1);
  /* So few filters don't pay for gathering their windows, nor for a product of their own. */
  if (s.group_filters < 4 && conv2d_taps(&s) > 1)
    work += (double)(s.batch * s.groups) * (0.4e-6 + 0.8e-9 * (double)(g.k * conv2d_out_size(&s)));
  double sums = (double)(s.batch * s.filters) * (double)conv2d_out_size(&s);
  work += epilogue_seconds(problem, stored, sums);
  answer->cost = OVERHEAD + kernel_team_seconds(plan.threads) + work / plan.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  p->stored = *(const storage *)kernel->context;
  conv2d_read(problem, p->stored, &p->shape, &ignored);
  flatten(&p->shape);
  p->g = make_gemm(problem, &p->shape, &p->pixels_in_rows);
  p->plan = REAL_BASE_NAME(gemm_make_plan)(&p->g);
  p->packs_weights = !kp_is_constant(&problem->inputs[1]);
  p->weights_bytes = weights_bytes(&p->g);
  p->has_bias = conv2d_has_bias(problem);
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, p->stored, p->steps);
  if (!p->pixels_in_rows && epilogue_is_simple(&p->after)) p->g.place = place_filter_rows;
  /* Packing what is read once or twice takes longer than the product. */
  int is_real = storage_bytes(p->stored) == sizeof(real);
  if (is_real && is_pointwise(&p->shape) && p->g.m <= 2 * MR) {
    p->g.direct_b = direct_pixels;
    p->g.direct_stride = conv2d_in_size(&p->shape);
  }
  *prepared = p;
  return KP_OK;
}

static void pack_weights(const kp_prepared *prepared, const void *source, real *destination) {
  void *buffers[2] = {NULL, (void *)source};
  running r = {prepared, buffers};
  gemm g = prepared->g;
  g.context = &r;
  for (int64_t i = 0; i < g.packed_count; i++, destination += g.packed_stride) {
    if (prepared->pixels_in_rows)
      REAL_BASE_NAME(gemm_pack_b)(&g, i, destination);
    else
      REAL_BASE_NAME(gemm_pack_a)(&g, i, destination);
  }
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
  running r = {prepared, buffers};
  gemm g = prepared->g;
  if (g.batch == 0 || g.m == 0 || g.n == 0) return KP_OK;
  g.context = &r;
  const real *weights = buffers[1];
  if (prepared->packs_weights) {
    pack_weights(prepared, buffers[1], scratch);
    weights = scratch;
    scratch = (char *)scratch + prepared->weights_bytes;
  }
  if (prepared->pixels_in_rows)
    g.packed_b = weights;
  else
    g.packed_a = weights;
  REAL_BASE_NAME(gemm_run)(&g, &prepared->plan, scratch);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define CONV2D(name, stored)                                                \
  {KERNEL(name),       .context = &(const storage){stored}, .query = query, \
   .prepare = prepare, .pack_constant = pack_constant,      .run = run,     \
   .release = release}

static const kp_kernel list[] = {
#if REAL_PAIRS
    CONV2D("portable.conv2d.implicit_gemm.bf16", STORED_BF16),
#elif REAL_BITS == 64
    CONV2D("portable.conv2d.implicit_gemm.f64", STORED_F64),
#else
    CONV2D("portable.conv2d.implicit_gemm.f32", STORED_F32),
    CONV2D("portable.conv2d.implicit_gemm.bf16", STORED_BF16),
    CONV2D("portable.conv2d.implicit_gemm.f16", STORED_F16),
#endif
};
const kp_kernel_list REAL_KERNELS(conv2d_gemm) = KERNEL_LIST(list);
