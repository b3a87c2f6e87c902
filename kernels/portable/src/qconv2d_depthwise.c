/*
 * "qconv2d" with a filter of its own for each channel, some vectors of channels at a time.
 *
 * A lane of the dot product holds DOT_VALUES taps of one column of the kernel. A line of such
 * lanes is made once for each line of output pixels, and serves every column of the kernel.
 */

#include "parallel.h"
#include "qconv2d_problem.h"
#include "requantise.h"

#define OVERHEAD 0.5e-6
/* To gather or finish a vector, and for each of its instructions of products. */
#define VECTOR_SECONDS \
  (F32_LANES == 16 ? 1.8e-9 : F32_LANES == 8 || DOT_GATHERED > 1 ? 9e-10 : 2e-9)
#define DOT_SECONDS (F32_LANES > 4 ? 2.6e-10 : DOT_VALUES == 4 ? 5e-10 : 2e-9)

#define UNROLL _Pragma("GCC unroll 8")

enum {
  VECTORS = DOT_GATHERED,         /* of channels: a block */
  CHANNELS = VECTORS * F32_LANES, /* of a block */
  PIXELS = VECTORS > 1 ? 2 : 4,   /* output pixels whose sums are in registers */
  SEGMENT = 64,                   /* output pixels of a line that share what is gathered */
  HELD = LEVEL_REGISTERS * 3 / 8  /* vectors of a filter that are in registers */
};

typedef struct segment segment;
typedef void filter_function(const segment *t, int64_t count);

struct kp_prepared {
  qconv2d problem;
  qgemm_columns columns; /* one for each channel, whole blocks */
  dot_source x;
  int32_t y_zero;
  quantized_range y_range;
  uint8_t x_zero; /* as it is stored */
  int packs, threads;
  int64_t blocks, groups; /* of channels; lanes that a column of the kernel takes */
  filter_function *filter;
};

typedef struct {
  const kp_prepared *p;
  const uint8_t *x;
  const int32_t *initial; /* what the sums of each channel begin with */
  const char *packed;
  uint8_t *y;
  char *scratch;
} running;

/* ---- Packed filters: for each block corrections, then [column][group], each a vector of each ---
 */

static int64_t block_bytes(const kp_prepared *p) {
  const int64_t lanes = 1 + p->problem.shape.kernel_w * p->groups;
  return lanes * VECTORS * (int64_t)sizeof(i32v);
}

static int64_t packed_bytes(const kp_prepared *p) {
  return kernel_round_up(p->blocks * block_bytes(p), KP_ALIGNMENT);
}

static void pack_channel(const kp_prepared *p, const uint8_t *taps, int64_t channel, char *block) {
  const conv2d *s = &p->problem.shape;
  const int place = (int)(channel % CHANNELS), lane = place % (int)F32_LANES;
  const dot_source source = {p->columns.b_flip, p->columns.zeros[channel]};
  int32_t *corrections = (int32_t *)block;
  dot_value *values = (dot_value *)(corrections + CHANNELS);
  uint32_t sum = 0;
  for (int64_t j = 0; j < s->kernel_w; j++)
    for (int64_t i = 0; i < s->kernel_h; i++) {
      const dot_value value = dot_value_of(taps[i * s->kernel_w + j], source);
      const int64_t vector = (j * p->groups + i / DOT_VALUES) * VECTORS + place / (int)F32_LANES;
      values[vector * F32_LANES * DOT_VALUES + dot_b_place(lane, (int)(i % DOT_VALUES))] = value;
      sum += (uint32_t)(int8_t)value;
    }
#if DOT_VALUES == 4
  const uint32_t all = (uint32_t)conv2d_taps(s) * (uint32_t)source.zero;
  corrections[place] = (int32_t)((uint32_t)p->x.zero * (all - sum));
#else
  (void)sum, (void)corrections;
#endif
}

static void pack_filters(const kp_prepared *p, const uint8_t *source, char *destination) {
  const conv2d *s = &p->problem.shape;
  memset(destination, 0, (size_t)packed_bytes(p));
  for (int64_t channel = 0; channel < s->channels; channel++)
    pack_channel(p, source + channel * conv2d_taps(s), channel,
                 destination + channel / CHANNELS * block_bytes(p));
}

/* ---- Lines ------------------------------------------------------------------------------------
 */

/* A row of the image, or of zeros, from one pixel to the next. */
typedef struct {
  const uint8_t *at;
  int64_t step;
} line;

/* Columns [0, count) of the lines, of which the first `channels` are there. Behind `taps` lines
 * there are none: what stands for theirs is multiplied by nothing. */
LEVEL_INLINE void gather_lines(const line *lines, int taps, int64_t count, int channels,
                               int64_t groups, dot_source s, u32v *to) {
  for (int64_t x = 0; x < count; x++, to += groups * VECTORS) {
    const uint8_t *rows[DOT_VALUES];
    UNROLL for (int i = 0; i < DOT_VALUES; i++) {
      const line *l = &lines[i < taps ? i : 0];
      rows[i] = l->at + x * l->step;
    }
    dot_gather(rows, channels, s, to);
  }
}

/* Three lines, as most filters have, have a loop of their own. */
static void gather(const line *lines, int64_t taps, int64_t count, int channels, int64_t groups,
                   dot_source s, u32v *to) {
  const int is_three = DOT_VALUES == 4 && taps == 3 && groups == 1;
  if (channels < CHANNELS && is_three)
    gather_lines(lines, 3, count, channels, 1, s, to);
  else if (channels < CHANNELS)
    gather_lines(lines, DOT_VALUES, count, channels, groups, s, to);
  else if (is_three)
    gather_lines(lines, 3, count, CHANNELS, 1, s, to);
  else
    gather_lines(lines, DOT_VALUES, count, CHANNELS, groups, s, to);
}

/* ---- Pixels -----------------------------------------------------------------------------------
 */

/* What a segment's pixels share. */
struct segment {
  const u32v *gathered;
  int64_t kernel_w, kernel_h, stride, dilation, groups;
  requantisation to;
  int64_t y_step; /* from a pixel to the next */

  const u32v *filter;
  const int32_t *initial;
  const int32_t *zeros; /* of the filters, where they correct the sums; else NULL */
  const float *multipliers;
  uint8_t *y;
  int64_t channels; /* from the block's first to the last */
};

/* `taps`: of the filter. */
LEVEL_INLINE void filter_pixels(int kernel_w, int64_t stride, int64_t dilation, int64_t groups,
                                int corrects, int pixels, const u32v *taps, const f32v *multipliers,
                                const segment *t, int64_t x) {
  i32v sum[PIXELS][VECTORS], of_x[PIXELS][VECTORS];
  UNROLL for (int q = 0; q < pixels; q++) UNROLL for (int v = 0; v < VECTORS; v++) {
    sum[q][v] = load_i32(t->initial + v * (int)F32_LANES);
    of_x[q][v] = (i32v){0};
  }
  UNROLL for (int j = 0; j < kernel_w; j++) UNROLL for (int64_t g = 0; g < groups; g++) {
    const u32v *columns = t->gathered + ((x * stride + j * dilation) * groups + g) * VECTORS;
#if DOT_VALUES == 4
    const int64_t left = t->kernel_h - g * DOT_VALUES;
    const u32v ones = (left < 4 ? 0x01010101u >> (8 * (4 - left)) : 0x01010101u) - (u32v){0};
#endif
    UNROLL for (int v = 0; v < VECTORS; v++) UNROLL for (int q = 0; q < pixels; q++) {
      const u32v lanes = columns[q * stride * groups * VECTORS + v];
      sum[q][v] = dot(sum[q][v], lanes, taps[(j * groups + g) * VECTORS + v]);
#if DOT_VALUES == 4
      if (corrects) of_x[q][v] = dot(of_x[q][v], lanes, ones);
#endif
    }
  }
  UNROLL for (int q = 0; q < pixels; q++) {
    if (corrects) UNROLL for (int v = 0; v < VECTORS; v++) {
        const u32v zeros = (u32v)load_i32(t->zeros + v * (int)F32_LANES);
        sum[q][v] = (i32v)((u32v)sum[q][v] - zeros * (u32v)of_x[q][v]);
      }
    requantise_row(VECTORS, sum[q], multipliers, &t->to, t->y + (x + q) * t->y_step, t->channels);
  }
}

LEVEL_INLINE void filter_segment(int kernel_w, int64_t stride, int64_t dilation, int64_t groups,
                                 int corrects, const segment *shared, int64_t count) {
  /* A stored byte could be any of these. */
  const segment t = *shared;
  f32v multipliers[VECTORS];
  UNROLL for (int v = 0; v < VECTORS; v++) multipliers[v] =
      load_f32(t.multipliers + v * (int)F32_LANES);
  const int64_t vectors = kernel_w * groups * VECTORS;
  const int holds = __builtin_constant_p(vectors) && vectors <= HELD;
  u32v held[HELD];
  _Pragma("GCC unroll 16") for (int i = 0; i < HELD; i++) held[i] =
      holds && i < vectors ? t.filter[i] : (u32v){0};
  const u32v *taps = holds ? held : t.filter;
  int64_t x = 0;
  for (; x + PIXELS <= count; x += PIXELS)
    filter_pixels(kernel_w, stride, dilation, groups, corrects, PIXELS, taps, multipliers, &t, x);
  for (; x < count; x++)
    filter_pixels(kernel_w, stride, dilation, groups, corrects, 1, taps, multipliers, &t, x);
}

static void filter_any(const segment *t, int64_t count) {
  filter_segment((int)t->kernel_w, t->stride, t->dilation, t->groups, t->zeros != NULL, t, count);
}

/* The frequent windows have loops of their own. */
#define FILTER(size, stride)                                                            \
  static void filter_##size##_##stride(const segment *t, int64_t count) {               \
    filter_segment(size, stride, 1, (size + DOT_VALUES - 1) / DOT_VALUES, 0, t, count); \
  }
FILTER(3, 1)
FILTER(3, 2)
FILTER(5, 1)
FILTER(5, 2)

static filter_function *choose_filter(const conv2d *s, int corrects) {
  const int64_t size = s->kernel_w, stride = s->stride_w;
  if (s->kernel_h != size || s->dilation_w != 1 || corrects) return filter_any;
  if (size == 3 && stride <= 2) return stride == 1 ? filter_3_1 : filter_3_2;
  if (size == 5 && stride <= 2) return stride == 1 ? filter_5_1 : filter_5_2;
  return filter_any;
}

/* ---- A line of the result ---------------------------------------------------------------------
 */

/* The input columns that output pixels [x, x + count) see: [first, first + width), of which
 * [begin, end) of them are within the image. */
typedef struct {
  int64_t first, width, begin, end;
} columns_seen;

static columns_seen see_columns(const conv2d *s, int64_t x, int64_t count) {
  const int64_t first = x * s->stride_w - s->pad_left;
  const int64_t width = (count - 1) * s->stride_w + (s->kernel_w - 1) * s->dilation_w + 1;
  const int64_t begin = first < 0 ? -first < width ? -first : width : 0;
  const int64_t end = s->width - first < width ? s->width - first : width;
  return (columns_seen){first, width, begin, end < begin ? begin : end};
}

static int64_t lines_bytes(const kp_prepared *p) {
  return kernel_round_up(p->groups * DOT_VALUES * (int64_t)sizeof(line), KP_ALIGNMENT);
}

/* A block of the input columns that are within the image, of all lines of the kernel. */
static void gather_block(const kp_prepared *p, const line *lines, columns_seen seen, int64_t block,
                         u32v *gathered) {
  const conv2d *s = &p->problem.shape;
  const int64_t channel = block * CHANNELS, rest = s->channels - channel;
  const int channels = rest < (int64_t)CHANNELS ? (int)rest : (int)CHANNELS;
  for (int64_t g = 0; g < p->groups; g++, lines += DOT_VALUES) {
    line of_block[DOT_VALUES];
    UNROLL for (int i = 0; i < DOT_VALUES; i++) {
      const int64_t step = lines[i].step;
      const int64_t offset = step ? (seen.first + seen.begin) * step + channel : 0;
      of_block[i] = (line){lines[i].at + offset, step};
    }
    gather(of_block, s->kernel_h - g * DOT_VALUES, seen.end - seen.begin, channels, p->groups, p->x,
           gathered + (seen.begin * p->groups + g) * VECTORS);
  }
}

/* Blocks [begin, end) of a line. */
static void output_line(const running *r, int64_t image, int64_t y, int64_t begin, int64_t end,
                        char *scratch) {
  const kp_prepared *p = r->p;
  const conv2d *s = &p->problem.shape;
  const int64_t taps = p->groups * DOT_VALUES, column = p->groups * VECTORS;
  uint8_t zeros[CHANNELS];
  memset(zeros, p->x_zero, sizeof zeros);
  line *lines = (line *)scratch;
  for (int64_t tap = 0; tap < taps; tap++) {
    const int64_t row = y * s->stride_h - s->pad_top + tap * s->dilation_h;
    lines[tap] = (line){zeros, 0};
    if (tap < s->kernel_h && row >= 0 && row < s->height)
      lines[tap] = (line){r->x + (image * s->height + row) * s->width * s->channels, s->channels};
  }
  u32v *gathered = (u32v *)(scratch + lines_bytes(p));
  const u32v outside = dot_zeros(p->x);
  segment t = {.gathered = gathered,
               .kernel_w = s->kernel_w,
               .kernel_h = s->kernel_h,
               .stride = s->stride_w,
               .dilation = s->dilation_w,
               .groups = p->groups,
               .to = make_requantisation(p->y_range, p->y_zero),
               .y_step = s->channels};
  for (int64_t x = 0; x < s->out_width; x += SEGMENT) {
    const int64_t count = s->out_width - x < SEGMENT ? s->out_width - x : SEGMENT;
    const columns_seen seen = see_columns(s, x, count);
    for (int64_t i = 0; i < seen.begin * column; i++) gathered[i] = outside;
    for (int64_t i = seen.end * column; i < seen.width * column; i++) gathered[i] = outside;
    uint8_t *pixels = r->y + ((image * s->out_height + y) * s->out_width + x) * s->channels;
    for (int64_t block = begin; block < end; block++) {
      const int64_t channel = block * CHANNELS;
      gather_block(p, lines, seen, block, gathered);
      t.filter = (const u32v *)(r->packed + block * block_bytes(p)) + VECTORS;
      t.initial = r->initial + channel;
      t.multipliers = p->columns.multipliers + channel;
      t.zeros = p->columns.corrects ? p->columns.zeros + channel : NULL;
      t.y = pixels + channel;
      t.channels = s->channels - channel;
      p->filter(&t, count);
    }
  }
}

/* ---- The kernel -------------------------------------------------------------------------------
 */

static int64_t initial_bytes(const kp_prepared *p) {
  return kernel_round_up(p->blocks * CHANNELS * (int64_t)sizeof(int32_t), KP_ALIGNMENT);
}

/* The filters' corrections with the bias. */
static void make_initial(const kp_prepared *p, const char *packed, const int32_t *bias,
                         int32_t *initial) {
  const int64_t channels = p->problem.shape.channels;
  for (int64_t block = 0; block < p->blocks; block++)
    memcpy(initial + block * CHANNELS, packed + block * block_bytes(p), CHANNELS * sizeof *initial);
  for (int64_t i = 0; bias && i < channels; i++)
    initial[i] = (int32_t)((uint32_t)initial[i] + (uint32_t)bias[i]);
}

/* Vectors that a segment's columns take. */
static int64_t gathered_vectors(const kp_prepared *p) {
  const conv2d *s = &p->problem.shape;
  const int64_t pixels = s->out_width < SEGMENT ? s->out_width : SEGMENT;
  return (pixels * s->stride_w + s->kernel_w * s->dilation_w) * p->groups * VECTORS;
}

static int64_t thread_bytes(const kp_prepared *p) {
  return lines_bytes(p) +
         kernel_round_up(gathered_vectors(p) * (int64_t)sizeof(u32v), KP_ALIGNMENT);
}

static double work(const kp_prepared *p) {
  const conv2d *s = &p->problem.shape;
  const double lines = (double)s->batch * (double)s->out_height * (double)p->blocks * VECTORS;
  const double finished = (double)s->out_width, groups = (double)p->groups;
  const double gathered = (finished * (double)s->stride_w + (double)s->kernel_w) * groups;
  return lines * ((finished + gathered) * VECTOR_SECONDS +
                  finished * (double)s->kernel_w * groups * DOT_SECONDS + 2e-8);
}

static int read_problem(const kp_problem *problem, kp_prepared *p, kp_answer *answer) {
  *p = (kp_prepared){.packs = !kp_is_constant(&problem->inputs[1])};
  if (!qconv2d_read(problem, 0, &p->problem, answer)) return 0;
  const conv2d *s = &p->problem.shape;
  if (s->group_channels != 1 || s->group_filters != 1) {
    kp_refuse_number(answer, KP_NO_ATTRIBUTE, "groups", "x's and w's channels", s->groups);
    return 0;
  }
  qgemm arithmetic = {0};
  qproduct_read(problem, &arithmetic);
  p->x = arithmetic.a;
  p->x_zero = (uint8_t)quantized_zero(problem->inputs, 0);
  p->y_zero = arithmetic.y_zero;
  p->y_range = arithmetic.y_range;
  p->blocks = (s->channels + CHANNELS - 1) / CHANNELS;
  p->groups = (s->kernel_h + DOT_VALUES - 1) / DOT_VALUES;
  p->threads = kernel_threads(work(p), problem->threads);
  const int64_t vectors =
      kernel_multiply(p->blocks * VECTORS, kernel_multiply(s->kernel_w + 1, p->groups));
  const int64_t span = kernel_multiply(
      kernel_multiply(s->kernel_w, s->dilation_w) + kernel_multiply(SEGMENT, s->stride_w),
      kernel_multiply(p->groups * VECTORS, p->threads));
  if (kernel_multiply(vectors, 128) != INT64_MAX && kernel_multiply(span, 128) != INT64_MAX)
    return 1;
  kp_refuse(answer, KP_NO_MEMORY, "w.shape", "sizes below 2^63");
  return 0;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  kp_prepared p;
  if (refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      !read_problem(problem, &p, answer))
    return;
  const int64_t scratch =
      initial_bytes(&p) + p.threads * thread_bytes(&p) + qconv2d_staging_bytes(&p.problem);
  const double cost = OVERHEAD + kernel_team_seconds(p.threads) +
                      (work(&p) + qconv2d_staging_seconds(&p.problem)) / p.threads;
  qproduct_answer(problem, answer, cost, scratch, packed_bytes(&p));
}

static void release(kp_prepared *p) {
  qproduct_release_columns(&p->columns);
  free(p);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  read_problem(problem, p, &ignored);
  const int64_t channels = p->problem.shape.channels;
  if (!qproduct_make_columns(problem, 1, channels, p->blocks * CHANNELS, &p->columns)) {
    release(p);
    return refuse_memory(error);
  }
  p->filter = choose_filter(&p->problem.shape, p->columns.corrects);
  *prepared = p;
  return KP_OK;
}

static kp_status pack_constant(const kp_prepared *p, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_filters(p, source, destination);
  return KP_OK;
}

static void run_part(const void *context, int64_t begin, int64_t end, int thread) {
  const running *r = context;
  const kp_prepared *p = r->p;
  const conv2d *s = &p->problem.shape;
  while (begin < end) {
    const int64_t line = begin / p->blocks, block = begin % p->blocks;
    const int64_t last = block + end - begin < p->blocks ? block + end - begin : p->blocks;
    output_line(r, line / s->out_height, line % s->out_height, block, last,
                r->scratch + thread * thread_bytes(p));
    begin += last - block;
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const qconv2d *q = &p->problem;
  char *rest = scratch;
  void *y = buffers[q->num_inputs];
  if (qconv2d_y_bytes(q) == 0) return KP_OK;
  running r = {.p = p, .packed = buffers[1]};
  if (p->packs) {
    pack_filters(p, buffers[1], rest);
    r.packed = rest;
    rest += packed_bytes(p);
  }
  int32_t *initial = (int32_t *)rest;
  make_initial(p, r.packed, q->has_bias ? buffers[2] : NULL, initial);
  r.initial = initial;
  rest += initial_bytes(p);
  r.x = qconv2d_stage_x(q, buffers[0], &rest);
  r.y = qconv2d_stage_y(q, y, &rest);
  r.scratch = rest;
  parallel_for(p->threads, q->shape.batch * q->shape.out_height * p->blocks, run_part, &r);
  qconv2d_unstage_y(q, r.y, y);
  return KP_OK;
}

#define QCONV2D(short_name)                           \
  {KERNEL("portable.qconv2d.depthwise." #short_name), \
   .context = &(const element)ELEMENT_##short_name,   \
   .query = query,                                    \
   .prepare = prepare,                                \
   .pack_constant = pack_constant,                    \
   .run = run,                                        \
   .release = release}
static const kp_kernel list[] = {QCONV2D(u8), QCONV2D(i8)};
const kp_kernel_list LEVEL_NAME(qconv2d_depthwise_kernels) = KERNEL_LIST(list);
