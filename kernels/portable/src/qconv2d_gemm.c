/*
 * "qconv2d" and "conv_integer" as one matrix product a group: output pixels by (taps, channels),
 * times (taps, channels) by filters. The first matrix is never stored whole: blocks of its rows are
 * packed from the images while they are needed.
 */
#include "qconv2d_problem.h"
#include "qpixels.h"

#define OVERHEAD 0.5e-6
#define WINDOW_SECONDS 3e-9 /* of a row of a pixel's taps */

struct kp_prepared {
  qconv2d problem;
  qgemm g;
  qgemm_plan plan;
  qproduct_points points; /* of sums */
  int gives_sums;
  int packs; /* the weights, in each run */
};

/* Every pixel is seen once, in its order. */
static int is_pointwise(const conv2d *s) {
  return conv2d_taps(s) == 1 && s->stride_h == 1 && s->stride_w == 1 && !s->pad_top &&
         !s->pad_left && s->out_height == s->height && s->out_width == s->width;
}

/* ---- The kernel ---------------------------------------------------------------------------- */

static int read_problem(const kp_problem *problem, kp_prepared *p, kp_answer *answer) {
  if (!qconv2d_read(problem, 0, &p->problem, answer)) return 0;
  const conv2d *s = &p->problem.shape;
  const int64_t k = s->group_channels * conv2d_taps(s);
  p->packs = !kp_is_constant(&problem->inputs[1]);
  p->gives_sums = qproduct_gives_sums(problem);
  if (p->gives_sums) p->points = qproduct_read_points(problem);
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
                 .pack_rows = LEVEL_NAME(qpixels_pack)};
  qproduct_read(problem, &p->g);
  if (is_pointwise(s) && qgemm_reads_bytes(&p->g))
    p->g.place_rows = qpixels_place, p->g.rows_stride = s->channels;
  p->plan = LEVEL_NAME(qgemm_make_plan)(&p->g);
  if (kernel_multiply(p->g.packed_stride, s->groups) < INT64_MAX - KP_ALIGNMENT) return 1;
  kp_refuse(answer, KP_NO_MEMORY, "w.shape", "sizes below 2^63");
  return 0;
}

static int64_t packed_bytes(const kp_prepared *p) {
  return kernel_round_up(p->g.packed_stride * p->g.packed_count, KP_ALIGNMENT);
}

/* Zero points that come as inputs. */
static int64_t points_bytes(const kp_prepared *p) {
  return p->gives_sums ? qproduct_points_bytes(p->g.batch, p->g.columns_stride) : 0;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  kp_prepared p;
  if (refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      !read_problem(problem, &p, answer))
    return;
  const int64_t scratch = LEVEL_NAME(qgemm_scratch_bytes)(&p.plan) +
                          qconv2d_staging_bytes(&p.problem) + points_bytes(&p);
  const double windows = (double)(p.g.batch * p.g.m * p.problem.shape.kernel_h);
  const double seconds = LEVEL_NAME(qgemm_seconds)(&p.g) + qconv2d_staging_seconds(&p.problem) +
                         (p.g.place_rows ? 0 : windows * WINDOW_SECONDS);
  const double cost = OVERHEAD + seconds / p.plan.threads + kernel_team_seconds(p.plan.threads);
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
    const qgemm_b b = {
        .values = source + group * p->g.n * p->g.k,
        .channels = s->group_channels + !s->group_channels,
        .row_taps = s->kernel_w,
        .channel_stride = taps,
        .tap_stride = 1,
        .row_stride = s->kernel_w,
        .column_stride = p->g.k,
        .zeros = p->gives_sums ? NULL : p->g.columns.zeros + group * p->g.columns_stride,
        .zero = qproduct_packed_zero(&p->points)};
    LEVEL_NAME(qgemm_pack_b)(&p->g, &b, destination + group * p->g.packed_stride);
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
  if (p->gives_sums) {
    qproduct_take_points(&p->points, buffers, g.batch, (int32_t *)rest, &g);
    rest += points_bytes(p);
  }
  qpixels r = {.shape = &q->shape,
               .x = qconv2d_stage_x(q, buffers[0], &rest),
               .source = dot_row_source(g.a)};
  r.x_end = r.x + qconv2d_x_bytes(&q->shape);
  g.context = &r;
  g.bias = q->has_bias ? buffers[2] : NULL;
  void *staged = qconv2d_stage_y(q, y, &rest);
  if (p->gives_sums)
    g.sums = staged;
  else
    g.y = staged;
  LEVEL_NAME(qgemm_run)(&g, &p->plan, rest);
  qconv2d_unstage_y(q, staged, y);
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
static const kp_kernel list[] = {GEMM(qconv2d, u8), GEMM(qconv2d, i8), GEMM(conv_integer, u8),
                                 GEMM(conv_integer, i8)};
const kp_kernel_list LEVEL_NAME(qconv2d_gemm_kernels) = KERNEL_LIST(list);
