/*
 * "qconv_transpose2d" as convolutions. The output's pixels that lie a stride apart see the same
 * taps, every so many of the kernel's, at neighbouring pixels of the image: a phase, of which there
 * is one for each first tap. Each row of a phase's pixels is one matrix product.
 */
#include "qconv2d_problem.h"
#include "qpixels.h"

#define OVERHEAD 0.5e-6
#define WINDOW_SECONDS 3e-9 /* of a row of a pixel's taps */

/* Along one axis. */
typedef struct axis {
  int64_t extent, out, kernel, stride, dilation, pad;
  int64_t step;   /* from a tap to the next of its phase */
  int64_t phases; /* that have taps */
} axis;

struct kp_prepared {
  qconv2d problem;
  axis y, x;
  qgemm g; /* of the phase of the most taps */
  qgemm_plan plan;
  int packs; /* the weights, in each run */
};

/* ---- Phases --------------------------------------------------------------------------------- */

static int64_t greatest_divisor(int64_t a, int64_t b) { return b ? greatest_divisor(b, a % b) : a; }

static axis make_axis(int64_t extent, int64_t out, int64_t kernel, int64_t stride, int64_t dilation,
                      int64_t pad) {
  axis a = {extent, out, kernel, stride, dilation, pad, 0, 0};
  a.step = stride / greatest_divisor(stride, dilation);
  a.phases = kernel < a.step ? kernel : a.step;
  return a;
}

/* One axis of the phase whose first tap is `first`, as a convolution's. */
typedef struct part {
  int64_t taps, last; /* the last one of the kernel's is the convolution's first */
  int64_t begin, out; /* of its pixels in the output */
  int64_t dilation, pad;
} part;

static part make_part(const axis *a, int64_t first) {
  part p = {.taps = (a->kernel - 1 - first) / a->step + 1};
  p.last = first + (p.taps - 1) * a->step;
  p.begin = (first * a->dilation - a->pad) % a->stride;
  if (p.begin < 0) p.begin += a->stride;
  p.out = p.begin < a->out ? (a->out - 1 - p.begin) / a->stride + 1 : 0;
  p.dilation = a->step * a->dilation / a->stride;
  p.pad = -((p.begin + a->pad - p.last * a->dilation) / a->stride);
  return p;
}

/* Whether there are pixels that no tap reaches: they are of no phase. */
static int has_gaps(const kp_prepared *p) {
  return p->y.phases < p->y.stride || p->x.phases < p->x.stride;
}

static int64_t phases(const kp_prepared *p) { return p->y.phases * p->x.phases; }

/* ---- Packed weights: [group][phase], then what has no taps ---------------------------------- */

static int64_t packed_bytes(const kp_prepared *p) {
  const int64_t products = p->problem.shape.groups * phases(p);
  return kernel_round_up(products * p->g.packed_stride + qgemm_packed_bytes(p->g.n, 0),
                         KP_ALIGNMENT);
}

/* The phase's own sizes. */
static void set_sizes(qgemm *g, const conv2d *s, const part *y, const part *x) {
  g->batch = y->out;
  g->m = x->out;
  g->k = y->taps * x->taps * s->group_channels;
}

static void pack_phase(const kp_prepared *p, const uint8_t *w, const part *y, const part *x,
                       char *destination) {
  const conv2d *s = &p->problem.shape;
  const int64_t taps = conv2d_taps(s);
  qgemm g = p->g;
  set_sizes(&g, s, y, x);
  const qgemm_b b = {.values = w + y->last * s->kernel_w + x->last,
                     .channels = s->group_channels + !s->group_channels,
                     .row_taps = x->taps,
                     .channel_stride = s->group_filters * taps,
                     .tap_stride = -p->x.step,
                     .row_stride = -p->y.step * s->kernel_w,
                     .column_stride = taps,
                     .zeros = p->g.columns.zeros};
  LEVEL_NAME(qgemm_pack_b)(&g, &b, destination);
}

static void pack_filters(const kp_prepared *p, const uint8_t *source, char *destination) {
  const conv2d *s = &p->problem.shape;
  const int64_t group_values = s->group_channels * s->group_filters * conv2d_taps(s);
  memset(destination, 0, (size_t)packed_bytes(p));
  for (int64_t group = 0; group < s->groups; group++)
    for (int64_t i = 0; i < p->y.phases; i++)
      for (int64_t j = 0; j < p->x.phases; j++, destination += p->g.packed_stride) {
        const part y = make_part(&p->y, i), x = make_part(&p->x, j);
        pack_phase(p, source + group * group_values, &y, &x, destination);
      }
}

/* ---- One phase of one image's group --------------------------------------------------------- */

typedef struct running {
  qpixels pixels;
  int64_t group, first, width; /* the first line's first row, and rows of a line */
} running;

static void pack_line(const void *context, int64_t line, int64_t row, int rows, dot_value *to,
                      int64_t stride) {
  const running *r = context;
  LEVEL_NAME(qpixels_pack)(&r->pixels, r->group, line * r->width + row, rows, to, stride);
}

static const uint8_t *place_line(const void *context, int64_t line, int64_t row) {
  const running *r = context;
  return qpixels_place(&r->pixels, r->group, r->first + line * r->pixels.shape->width + row);
}

static int lies_within(const part *p, const axis *a) {
  return p->taps == 1 && p->pad <= 0 && p->out - p->pad <= a->extent;
}

static void run_phase(const kp_prepared *p, const part *y, const part *x, qgemm g, running r,
                      void *scratch) {
  const conv2d *whole = &p->problem.shape;
  const conv2d s = {.batch = 1,
                    .channels = whole->channels,
                    .height = whole->height,
                    .width = whole->width,
                    .filters = whole->filters,
                    .out_height = y->out,
                    .out_width = x->out,
                    .kernel_h = y->taps,
                    .kernel_w = x->taps,
                    .stride_h = 1,
                    .stride_w = 1,
                    .pad_top = y->pad,
                    .pad_left = x->pad,
                    .dilation_h = y->dilation,
                    .dilation_w = x->dilation,
                    .groups = whole->groups,
                    .group_channels = whole->group_channels,
                    .group_filters = whole->group_filters};
  set_sizes(&g, &s, y, x);
  r.pixels.shape = &s;
  r.width = x->out;
  r.first = -y->pad * whole->width - x->pad;
  if (lies_within(y, &p->y) && lies_within(x, &p->x) && qgemm_reads_bytes(&g))
    g.place_rows = place_line, g.rows_stride = s.channels;
  g.y += (y->begin * whole->out_width + x->begin) * whole->filters;
  g.context = &r;
  LEVEL_NAME(qgemm_run)(&g, &p->plan, scratch);
}

static const uint8_t *place_nothing(const void *context, int64_t line, int64_t row) {
  (void)line, (void)row;
  return context;
}

/* Every pixel as if no tap reached it; phases come over it. */
static void run_gaps(const kp_prepared *p, qgemm g, void *scratch) {
  const conv2d *s = &p->problem.shape;
  g.batch = s->out_height;
  g.m = s->out_width;
  g.k = 0;
  g.y_batch_stride = s->out_width * s->filters;
  g.y_row_stride = s->filters;
  g.place_rows = place_nothing;
  g.context = scratch;
  LEVEL_NAME(qgemm_run)(&g, &p->plan, scratch);
}

static void run_group(const kp_prepared *p, const qgemm *whole, const running *r, void *scratch) {
  qgemm g = *whole;
  if (has_gaps(p)) {
    g.packed_b += (p->problem.shape.groups - r->group) * phases(p) * g.packed_stride;
    run_gaps(p, g, scratch);
    g.packed_b = whole->packed_b;
  }
  for (int64_t i = 0; i < p->y.phases; i++)
    for (int64_t j = 0; j < p->x.phases; j++, g.packed_b += g.packed_stride) {
      const part y = make_part(&p->y, i), x = make_part(&p->x, j);
      if (!y.out || !x.out) continue;
      run_phase(p, &y, &x, g, *r, scratch);
    }
}

/* ---- The kernel ----------------------------------------------------------------------------- */

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int read_problem(const kp_problem *problem, kp_prepared *p, kp_answer *answer) {
  if (!qconv2d_read(problem, 1, &p->problem, answer)) return 0;
  const conv2d *s = &p->problem.shape;
  p->y = make_axis(s->height, s->out_height, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top);
  p->x = make_axis(s->width, s->out_width, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left);
  const int64_t taps = ceiling(s->kernel_h, p->y.step) * ceiling(s->kernel_w, p->x.step);
  if (!s->group_channels || !s->group_filters) p->y.phases = p->x.phases = 0;
  p->packs = !kp_is_constant(&problem->inputs[1]);
  p->g = (qgemm){.batch = ceiling(s->out_height, s->stride_h),
                 .m = ceiling(s->out_width, s->stride_w),
                 .n = s->group_filters,
                 .k = s->group_channels * taps,
                 .packed_count = 1,
                 .packed_stride = qgemm_packed_bytes(s->group_filters, s->group_channels * taps),
                 .y_batch_stride = s->stride_h * s->out_width * s->filters,
                 .y_row_stride = s->stride_w * s->filters,
                 .pack_rows = pack_line};
  qproduct_read(problem, &p->g);
  p->plan = LEVEL_NAME(qgemm_make_plan)(&p->g);
  const int64_t products = kernel_multiply(s->groups, phases(p)) + 1;
  if (kernel_multiply(p->g.packed_stride, products) < INT64_MAX - KP_ALIGNMENT) return 1;
  kp_refuse(answer, KP_NO_MEMORY, "w.shape", "sizes below 2^63");
  return 0;
}

/* As many phases as there are with the taps that they have on average. */
static double seconds(const kp_prepared *p) {
  const conv2d *s = &p->problem.shape;
  const double count = (double)phases(p) + (has_gaps(p) ? 1 : 0);
  const int64_t most_h = ceiling(s->kernel_h, p->y.step), most_w = ceiling(s->kernel_w, p->x.step);
  qgemm mean = p->g;
  mean.k = (int64_t)((double)s->group_channels * (double)conv2d_taps(s) / count);
  if (most_h == 1 && most_w == 1 && qgemm_reads_bytes(&p->g)) mean.place_rows = place_line;
  const double windows = mean.place_rows ? 0 : (double)(mean.batch * mean.m) * (double)most_h;
  return (double)(s->batch * s->groups) * count *
         (LEVEL_NAME(qgemm_seconds)(&mean) + windows * WINDOW_SECONDS);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  kp_prepared p;
  if (refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      !read_problem(problem, &p, answer))
    return;
  const double total = seconds(&p) + qconv2d_staging_seconds(&p.problem);
  qproduct_answer(problem, answer,
                  OVERHEAD + total / p.plan.threads + kernel_team_seconds(p.plan.threads),
                  LEVEL_NAME(qgemm_scratch_bytes)(&p.plan) + qconv2d_staging_bytes(&p.problem),
                  packed_bytes(&p));
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

static kp_status pack_constant(const kp_prepared *p, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_filters(p, source, destination);
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const qconv2d *q = &p->problem;
  const conv2d *s = &q->shape;
  char *rest = scratch;
  void *y = buffers[q->num_inputs];
  if (qconv2d_y_bytes(q) == 0) return KP_OK;
  const char *packed = buffers[1];
  if (p->packs) {
    pack_filters(p, buffers[1], rest);
    packed = rest;
    rest += packed_bytes(p);
  }
  const int64_t image = s->channels * conv2d_in_size(s);
  const uint8_t *x = qconv2d_stage_x(q, buffers[0], &rest);
  uint8_t *staged = qconv2d_stage_y(q, y, &rest);
  const int32_t *bias = q->has_bias ? buffers[2] : NULL;
  for (int64_t n = 0; n < s->batch; n++)
    for (int64_t group = 0; group < s->groups; group++) {
      const running r = {.pixels = {.x = x + n * image,
                                    .x_end = x + (n + 1) * image,
                                    .source = dot_row_source(p->g.a)},
                         .group = group};
      qgemm g = p->g;
      g.packed_b = packed + group * phases(p) * g.packed_stride;
      g.bias = bias ? bias + group * s->group_filters : NULL;
      g.y = staged + n * s->filters * conv2d_out_size(s) + group * s->group_filters;
      run_group(p, &g, &r, rest);
    }
  qconv2d_unstage_y(q, staged, y);
  return KP_OK;
}

#define QCONV_TRANSPOSE2D(short_name)                      \
  {KERNEL("portable.qconv_transpose2d.gemm." #short_name), \
   .context = &(const element)ELEMENT_##short_name,        \
   .query = query,                                         \
   .prepare = prepare,                                     \
   .pack_constant = pack_constant,                         \
   .run = run,                                             \
   .release = release}
static const kp_kernel list[] = {QCONV_TRANSPOSE2D(u8), QCONV_TRANSPOSE2D(i8)};
const kp_kernel_list LEVEL_NAME(qconv_transpose2d_kernels) = KERNEL_LIST(list);
