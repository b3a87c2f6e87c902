/*
 * "qconv2d" as one matrix product a group: output pixels by (taps, channels), times (taps,
 * channels) by filters. The first matrix is never stored whole: blocks of its rows are packed
 * from the images while they are needed.
 */
#include "qconv2d_problem.h"

#define OVERHEAD 0.5e-6
#define PACK_SECONDS 2e-9   /* of a weight */
#define WINDOW_SECONDS 3e-9 /* of a row of a pixel's taps */

struct kp_prepared {
  qconv2d problem;
  qgemm g;
  qgemm_plan plan;
  int packs; /* the weights, in each run */
};

typedef struct {
  const conv2d *shape;
  const uint8_t *x, *x_end;
  dot_source source;
} running;

/* ---- Rows of pixels ------------------------------------------------------------------------ */

/* The taps of one row of the kernel, at the image's row `in`; NULL: outside of it. */
static dot_value *pack_kernel_row(const running *r, const uint8_t *in, int64_t x, dot_value *to) {
  const conv2d *s = r->shape;
  const int64_t channels = s->group_channels;
  const dot_value zero = dot_zero(r->source);
  if (!in) {
    dot_fill(to, zero, s->kernel_w * channels);
    return to + s->kernel_w * channels;
  }
  if (s->dilation_w == 1 && s->groups == 1) { /* the taps' channels follow one another */
    const int64_t begin = x < 0 ? -x < s->kernel_w ? -x : s->kernel_w : 0;
    int64_t end = s->width - x < s->kernel_w ? s->width - x : s->kernel_w;
    if (end < begin) end = begin;
    dot_fill(to, zero, begin * channels);
    dot_copy(to + begin * channels, in + (x + begin) * channels, (end - begin) * channels,
             r->source);
    dot_fill(to + end * channels, zero, (s->kernel_w - end) * channels);
    return to + s->kernel_w * channels;
  }
  for (int64_t j = 0; j < s->kernel_w; j++, x += s->dilation_w, to += channels)
    if (x < 0 || x >= s->width)
      dot_fill(to, zero, channels);
    else
      dot_copy(to, in + x * s->channels, channels, r->source);
  return to;
}

/* The taps of a pixel whose window lies between the image's left and right edge, its rows' taps
 * next to each other: `image` is at the window's first column. Whole chunks are copied; the next
 * row's overwrite what is too much. */
static void pack_window(const running *r, const uint8_t *image, int64_t y, dot_value *to) {
  const conv2d *s = r->shape;
  const int64_t count = s->kernel_w * s->group_channels, row = s->width * s->channels;
  for (int64_t tap = 0; tap < s->kernel_h; tap++, y += s->dilation_h, to += count) {
    if (y < 0 || y >= s->height)
      dot_fill(to, dot_zero(r->source), count);
    else if (r->x_end - (image + y * row) >= count + DOT_CHUNK)
      dot_copy_chunks(to, image + y * row, count, r->source);
    else
      dot_copy(to, image + y * row, count, r->source);
  }
}

static const uint8_t *place_rows(const void *context, int64_t group, int64_t row) {
  const running *r = context;
  return r->x + row * r->shape->channels + group * r->shape->group_channels;
}

static void pack_rows(const void *context, int64_t group, int64_t row, int rows, dot_value *to,
                      int64_t stride) {
  const running *r = context;
  const conv2d *s = r->shape;
  int64_t out_x = row % s->out_width, out_y = row / s->out_width % s->out_height;
  const uint8_t *image =
      r->x + row / conv2d_out_size(s) * s->channels * conv2d_in_size(s) + group * s->group_channels;
  const int adjoins = s->kernel_w == 1 || (s->dilation_w == 1 && s->groups == 1);
  for (int i = 0; i < rows; i++, to += stride) {
    dot_value *next = to;
    const int64_t x = out_x * s->stride_w - s->pad_left;
    int64_t y = out_y * s->stride_h - s->pad_top;
    if (adjoins && x >= 0 && x + s->kernel_w <= s->width) {
      pack_window(r, image + x * s->channels, y, to);
    } else {
      for (int64_t tap = 0; tap < s->kernel_h; tap++, y += s->dilation_h) {
        const int inside = y >= 0 && y < s->height;
        next = pack_kernel_row(r, inside ? image + y * s->width * s->channels : NULL, x, next);
      }
    }
    if (++out_x < s->out_width) continue;
    out_x = 0;
    if (++out_y < s->out_height) continue;
    out_y = 0;
    image += s->channels * conv2d_in_size(s);
  }
}

/* Every pixel is seen once, in its order. */
static int is_pointwise(const conv2d *s) {
  return conv2d_taps(s) == 1 && s->stride_h == 1 && s->stride_w == 1 && !s->pad_top &&
         !s->pad_left && s->out_height == s->height && s->out_width == s->width;
}

/* ---- The kernel ---------------------------------------------------------------------------- */

static int read_problem(const kp_problem *problem, kp_prepared *p, kp_answer *answer) {
  if (!qconv2d_read(problem, &p->problem, answer)) return 0;
  const conv2d *s = &p->problem.shape;
  const int64_t k = s->group_channels * conv2d_taps(s);
  p->packs = !kp_is_constant(&problem->inputs[1]);
  p->g = (qgemm){.batch = s->groups,
                 .m = s->batch * conv2d_out_size(s),
                 .n = s->group_filters,
                 .k = k,
                 .columns_stride = qgemm_columns_count(s->group_filters),
                 .packed_count = s->groups,
                 .packed_stride = qgemm_packed_bytes(s->group_filters, k),
                 .bias_stride = s->group_filters,
                 .y_batch_stride = s->group_filters,
                 .y_row_stride = s->filters,
                 .pack_rows = pack_rows};
  qproduct_read(problem, &p->g);
  if (is_pointwise(s) && qgemm_reads_bytes(&p->g))
    p->g.place_rows = place_rows, p->g.rows_stride = s->channels;
  p->plan = LEVEL_NAME(qgemm_make_plan)(&p->g);
  if (kernel_multiply(p->g.packed_stride, s->groups) < INT64_MAX - KP_ALIGNMENT) return 1;
  kp_refuse(answer, KP_NO_MEMORY, "w.shape", "sizes below 2^63");
  return 0;
}

static int64_t packed_bytes(const kp_prepared *p) {
  return kernel_round_up(p->g.packed_stride * p->g.packed_count, KP_ALIGNMENT);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  kp_prepared p;
  if (refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      !read_problem(problem, &p, answer))
    return;
  int64_t scratch = LEVEL_NAME(qgemm_scratch_bytes)(&p.plan) + qconv2d_staging_bytes(&p.problem);
  const double windows = (double)(p.g.batch * p.g.m * p.problem.shape.kernel_h);
  const double seconds = LEVEL_NAME(qgemm_seconds)(&p.g) + qconv2d_staging_seconds(&p.problem) +
                         (p.g.place_rows ? 0 : windows * WINDOW_SECONDS);
  answer->code = KP_YES;
  answer->cost = OVERHEAD + seconds / p.plan.threads + kernel_team_seconds(p.plan.threads);
  if (p.packs) {
    scratch += packed_bytes(&p);
    answer->cost += (double)p.g.batch * (double)p.g.n * (double)p.g.k * PACK_SECONDS;
  } else if (answer->packed_bytes) {
    answer->packed_bytes[1] = (uint64_t)packed_bytes(&p);
  }
  answer->scratch_bytes = (uint64_t)scratch;
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
  if (!qproduct_make_columns(problem, p->g.batch, p->g.n, p->g.columns_stride, &p->g.columns)) {
    release(p);
    return refuse_memory(error);
  }
  *prepared = p;
  return KP_OK;
}

static void pack_filters(const kp_prepared *p, const uint8_t *source, char *destination) {
  const conv2d *s = &p->problem.shape;
  const int64_t taps = conv2d_taps(s);
  for (int64_t group = 0; group < s->groups; group++) {
    const qgemm_b b = {.values = source + group * p->g.n * p->g.k,
                       .channels = s->group_channels + !s->group_channels,
                       .channel_stride = taps,
                       .tap_stride = 1,
                       .column_stride = p->g.k};
    LEVEL_NAME(qgemm_pack_b)(&p->g, &b, group, destination + group * p->g.packed_stride);
  }
}

static kp_status pack_constant(const kp_prepared *p, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_filters(p, source, destination);
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const qconv2d *q = &p->problem;
  qgemm g = p->g;
  char *rest = scratch;
  void *y = buffers[q->num_inputs];
  if (g.batch == 0 || g.m == 0 || g.n == 0) return KP_OK;
  g.packed_b = buffers[1];
  if (p->packs) {
    pack_filters(p, buffers[1], rest);
    g.packed_b = rest;
    rest += packed_bytes(p);
  }
  running r = {.shape = &q->shape,
               .x = qconv2d_stage_x(q, buffers[0], &rest),
               .source = dot_row_source(g.a)};
  r.x_end = r.x + qconv2d_x_bytes(&q->shape);
  g.context = &r;
  g.bias = q->has_bias ? buffers[2] : NULL;
  g.y = qconv2d_stage_y(q, y, &rest);
  LEVEL_NAME(qgemm_run)(&g, &p->plan, rest);
  qconv2d_unstage_y(q, g.y, y);
  return KP_OK;
}

#define QCONV2D(short_name)                         \
  {KERNEL("portable.qconv2d.gemm." #short_name),    \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .pack_constant = pack_constant,                  \
   .run = run,                                      \
   .release = release}
static const kp_kernel list[] = {QCONV2D(u8), QCONV2D(i8)};
const kp_kernel_list LEVEL_NAME(qconv2d_gemm_kernels) = KERNEL_LIST(list);
