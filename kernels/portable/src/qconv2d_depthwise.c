/*
 * "qconv2d" with a filter of its own for each channel, a vector of channels at a time.
 *
 * A lane of the dot product holds DOT_VALUES taps of one column of the kernel. A line of such
 * lanes is made once for each line of output pixels, and serves every column of the kernel.
 */
#include <omp.h>

#include "qconv2d_problem.h"
#include "requantise.h"

#define OVERHEAD 0.5e-6
/* To gather or finish a vector, and for each of its instructions of products. */
#define VECTOR_SECONDS (F32_LANES == 16 ? 1.8e-9 : F32_LANES == 8 ? 9e-10 : 2e-9)
#define DOT_SECONDS (F32_LANES > 4 ? 2.6e-10 : DOT_VALUES == 4 ? 5e-10 : 2e-9)
#define PACK_SECONDS 3e-9 /* of a weight */

#define UNROLL _Pragma("GCC unroll 8")

enum { PIXELS = 4, SEGMENT = 64 }; /* output pixels whose sums are in registers; of a line */

struct kp_prepared {
  qconv2d problem;
  qgemm_columns columns; /* one for each channel, whole vectors */
  dot_source x;
  int32_t y_zero;
  quantized_range y_range;
  uint8_t x_zero; /* as it is stored */
  int packs, threads;
  int64_t blocks, groups; /* vectors of channels; lanes that a column of the kernel takes */
};

typedef struct {
  const kp_prepared *p;
  const uint8_t *x;
  const int32_t *bias;
  const char *packed;
  uint8_t *y;
} running;

/* ---- Packed filters: for each vector of channels corrections, then [column][group] ------------
 */

static int64_t block_bytes(const kp_prepared *p) {
  const int64_t vectors = 1 + p->problem.shape.kernel_w * p->groups;
  return vectors * (int64_t)sizeof(i32v);
}

static int64_t packed_bytes(const kp_prepared *p) {
  return kernel_round_up(p->blocks * block_bytes(p), KP_ALIGNMENT);
}

static void pack_channel(const kp_prepared *p, const uint8_t *taps, int64_t channel, char *block) {
  const conv2d *s = &p->problem.shape;
  const int lane = (int)(channel % F32_LANES);
  const dot_source source = {p->columns.b_flip, p->columns.zeros[channel]};
  dot_value *values = (dot_value *)(block + sizeof(i32v));
  uint32_t sum = 0;
  for (int64_t j = 0; j < s->kernel_w; j++)
    for (int64_t i = 0; i < s->kernel_h; i++) {
      const dot_value value = dot_value_of(taps[i * s->kernel_w + j], source);
      const int64_t vector = j * p->groups + i / DOT_VALUES;
      values[vector * F32_LANES * DOT_VALUES + dot_b_place(lane, (int)(i % DOT_VALUES))] = value;
      sum += (uint32_t)(int8_t)value;
    }
#if DOT_VALUES == 4
  const uint32_t all = (uint32_t)conv2d_taps(s) * (uint32_t)source.zero;
  ((int32_t *)block)[lane] = (int32_t)((uint32_t)p->x.zero * (all - sum));
#else
  (void)sum;
#endif
}

static void pack_filters(const kp_prepared *p, const uint8_t *source, char *destination) {
  const conv2d *s = &p->problem.shape;
  memset(destination, 0, (size_t)packed_bytes(p));
  for (int64_t channel = 0; channel < s->channels; channel++)
    pack_channel(p, source + channel * conv2d_taps(s), channel,
                 destination + channel / F32_LANES * block_bytes(p));
}

/* ---- Lines ------------------------------------------------------------------------------------
 */

/* A row of the image, or of zeros, from one pixel to the next. */
typedef struct {
  const uint8_t *at;
  int64_t step;
} line;

LEVEL_INLINE i32v load_channels(const uint8_t *from, int count) {
  uint8_t bytes[F32_LANES] = {0};
  return load_u8_as_i32(count >= (int)F32_LANES ? from : memcpy(bytes, from, (size_t)count));
}

/* Columns [0, count) of the lines, DOT_VALUES of them a lane; `groups` vectors for each column. */
LEVEL_INLINE void gather(const line *lines, int64_t count, int channels, int64_t groups,
                         dot_source s, u32v *to) {
  for (int64_t x = 0; x < count; x++, to += groups) {
    i32v values[DOT_VALUES];
    UNROLL for (int i = 0; i < DOT_VALUES; i++) {
      values[i] = load_channels(lines[i].at + x * lines[i].step, channels) ^ s.flip;
      if (DOT_VALUES == 2) values[i] -= s.zero;
    }
    *to = dot_gather(values);
  }
}

/* The input columns that output pixels [x, x + count) of row y see, of a vector of channels. */
static void gather_segment(const running *r, int64_t image, int64_t y, int64_t x, int64_t count,
                           int64_t block, u32v *to) {
  const kp_prepared *p = r->p;
  const conv2d *s = &p->problem.shape;
  uint8_t zeros[F32_LANES];
  memset(zeros, p->x_zero, sizeof zeros);
  const int64_t channel = block * F32_LANES;
  const int64_t rest = s->channels - channel;
  const int channels = rest < (int64_t)F32_LANES ? (int)rest : (int)F32_LANES;
  const int64_t first = x * s->stride_w - s->pad_left;
  const int64_t width = (count - 1) * s->stride_w + (s->kernel_w - 1) * s->dilation_w + 1;
  const int64_t begin = first < 0 ? -first < width ? -first : width : 0;
  int64_t end = s->width - first < width ? s->width - first : width;
  if (end < begin) end = begin;
  const uint8_t *pixels = r->x + image * s->channels * conv2d_in_size(s) + channel;
  for (int64_t g = 0; g < p->groups; g++) {
    line lines[DOT_VALUES], outside[DOT_VALUES];
    for (int i = 0; i < DOT_VALUES; i++) {
      const int64_t tap = g * DOT_VALUES + i;
      const int64_t row = y * s->stride_h - s->pad_top + tap * s->dilation_h;
      outside[i] = lines[i] = (line){zeros, 0};
      if (tap < s->kernel_h && row >= 0 && row < s->height)
        lines[i] = (line){pixels + (row * s->width + first + begin) * s->channels, s->channels};
    }
    u32v *group = to + g;
    gather(outside, begin, (int)F32_LANES, p->groups, p->x, group);
    if (channels == (int)F32_LANES)
      gather(lines, end - begin, (int)F32_LANES, p->groups, p->x, group + begin * p->groups);
    else
      gather(lines, end - begin, channels, p->groups, p->x, group + begin * p->groups);
    gather(outside, width - end, (int)F32_LANES, p->groups, p->x, group + end * p->groups);
  }
}

/* ---- Pixels -----------------------------------------------------------------------------------
 */

/* What a segment's pixels share. */
typedef struct {
  const u32v *gathered, *filter;
  i32v initial;
  u32v zeros; /* of the filters, where they correct the sums */
  f32v multiplier;
  requantisation to;
  uint8_t *y;
  int64_t channels; /* that are stored */
} segment;

LEVEL_INLINE void filter_pixels(int kernel_w, int64_t step, int64_t dilation, int64_t groups,
                                int corrects, const running *r, const segment *t, int64_t x,
                                int64_t count) {
  i32v sum[PIXELS], of_x[PIXELS];
  UNROLL for (int q = 0; q < PIXELS; q++) sum[q] = t->initial, of_x[q] = (i32v){0};
  for (int j = 0; j < kernel_w; j++)
    for (int64_t g = 0; g < groups; g++) {
      const u32v *columns = t->gathered + (x * step + j * dilation) * groups + g;
      const u32v taps = t->filter[j * groups + g];
      UNROLL for (int q = 0; q < PIXELS; q++) {
        sum[q] = dot(sum[q], columns[q * step * groups], taps);
#if DOT_VALUES == 4
        if (corrects) {
          const int64_t left = r->p->problem.shape.kernel_h - g * DOT_VALUES;
          const u32v ones = (left < 4 ? 0x01010101u >> (8 * (4 - left)) : 0x01010101u) - (u32v){0};
          of_x[q] = dot(of_x[q], columns[q * step * groups], ones);
        }
#endif
      }
    }
  const int64_t channels = r->p->problem.shape.channels;
  for (int q = 0; q < PIXELS && x + q < count; q++) {
    if (corrects) sum[q] = (i32v)((u32v)sum[q] - t->zeros * (u32v)of_x[q]);
    store_bytes(t->y + (x + q) * channels, requantise(sum[q], t->multiplier, &t->to), t->channels);
  }
}

LEVEL_INLINE void filter_segment(int kernel_w, int64_t step, int64_t dilation, int64_t groups,
                                 int corrects, const running *r, const segment *t, int64_t count) {
  for (int64_t x = 0; x < count; x += PIXELS)
    filter_pixels(kernel_w, step, dilation, groups, corrects, r, t, x, count);
}

/* The frequent windows have loops of their own. */
static void filter(const running *r, const segment *t, int64_t count) {
  const conv2d *s = &r->p->problem.shape;
  const int64_t groups = r->p->groups, step = s->stride_w;
  const int plain = s->dilation_w == 1 && !r->p->columns.corrects;
  enum {
    GROUPS_3 = (3 + DOT_VALUES - 1) / DOT_VALUES,
    GROUPS_5 = (5 + DOT_VALUES - 1) / DOT_VALUES
  };
  if (plain && s->kernel_w == 3 && groups == GROUPS_3 && step == 1)
    filter_segment(3, 1, 1, GROUPS_3, 0, r, t, count);
  else if (plain && s->kernel_w == 3 && groups == GROUPS_3 && step == 2)
    filter_segment(3, 2, 1, GROUPS_3, 0, r, t, count);
  else if (plain && s->kernel_w == 5 && groups == GROUPS_5 && step == 1)
    filter_segment(5, 1, 1, GROUPS_5, 0, r, t, count);
  else if (plain && s->kernel_w == 5 && groups == GROUPS_5 && step == 2)
    filter_segment(5, 2, 1, GROUPS_5, 0, r, t, count);
  else
    filter_segment((int)s->kernel_w, step, s->dilation_w, groups, r->p->columns.corrects, r, t,
                   count);
}

/* One line of output pixels of a vector of channels. */
static void output_line(const running *r, int64_t image, int64_t y, int64_t block, u32v *gathered) {
  const kp_prepared *p = r->p;
  const conv2d *s = &p->problem.shape;
  const int64_t channel = block * F32_LANES, rest = s->channels - channel;
  const char *packed = r->packed + block * block_bytes(p);
  int32_t initial[F32_LANES];
  memcpy(initial, packed, sizeof initial);
  for (int i = 0; r->bias && i < (int)F32_LANES && i < rest; i++)
    initial[i] = (int32_t)((uint32_t)initial[i] + (uint32_t)r->bias[channel + i]);
  segment t = {.gathered = gathered,
               .filter = (const u32v *)(packed + sizeof(i32v)),
               .initial = load_i32(initial),
               .zeros = (u32v)load_i32(p->columns.zeros + channel),
               .multiplier = load_f32(p->columns.multipliers + channel),
               .to = make_requantisation(p->y_range, p->y_zero),
               .channels = rest < (int64_t)F32_LANES ? rest : (int64_t)F32_LANES};
  for (int64_t x = 0; x < s->out_width; x += SEGMENT) {
    const int64_t count = s->out_width - x < SEGMENT ? s->out_width - x : SEGMENT;
    gather_segment(r, image, y, x, count, block, gathered);
    t.y = r->y + ((image * s->out_height + y) * s->out_width + x) * s->channels + channel;
    filter(r, &t, count);
  }
}

/* ---- The kernel -------------------------------------------------------------------------------
 */

/* Vectors that a segment's columns take, pixels past its end too. */
static int64_t gathered_vectors(const kp_prepared *p) {
  const conv2d *s = &p->problem.shape;
  const int64_t pixels = s->out_width < SEGMENT ? s->out_width : SEGMENT;
  return (kernel_round_up(pixels, PIXELS) * s->stride_w + s->kernel_w * s->dilation_w) * p->groups;
}

static int64_t thread_bytes(const kp_prepared *p) {
  return kernel_round_up(gathered_vectors(p) * (int64_t)sizeof(u32v), KP_ALIGNMENT);
}

static double work(const kp_prepared *p) {
  const conv2d *s = &p->problem.shape;
  const double lines = (double)s->batch * (double)s->out_height * (double)p->blocks;
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
  p->blocks = (s->channels + F32_LANES - 1) / F32_LANES;
  p->groups = (s->kernel_h + DOT_VALUES - 1) / DOT_VALUES;
  p->threads = kernel_threads(work(p), problem->threads);
  const int64_t vectors = kernel_multiply(p->blocks, kernel_multiply(s->kernel_w + 1, p->groups));
  const int64_t span = kernel_multiply(
      kernel_multiply(s->kernel_w, s->dilation_w) + kernel_multiply(SEGMENT, s->stride_w),
      kernel_multiply(p->groups, p->threads));
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
  int64_t scratch = p.threads * thread_bytes(&p) + qconv2d_staging_bytes(&p.problem);
  answer->code = KP_YES;
  answer->cost = OVERHEAD + kernel_team_seconds(p.threads) +
                 (work(&p) + qconv2d_staging_seconds(&p.problem)) / p.threads;
  if (p.packs) {
    scratch += packed_bytes(&p);
    answer->cost += (double)kp_elements(&problem->inputs[1]) * PACK_SECONDS;
  } else if (answer->packed_bytes) {
    answer->packed_bytes[1] = (uint64_t)packed_bytes(&p);
  }
  answer->scratch_bytes = (uint64_t)scratch;
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
  if (!qproduct_make_columns(problem, 1, channels, p->blocks * F32_LANES, &p->columns)) {
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

static void run_part(const running *r, char *scratch, int thread, int threads) {
  const kp_prepared *p = r->p;
  const conv2d *s = &p->problem.shape;
  u32v *gathered = (u32v *)(scratch + thread * thread_bytes(p));
  int64_t begin, end;
  kernel_split(s->batch * s->out_height * p->blocks, threads, thread, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i / p->blocks;
    output_line(r, row / s->out_height, row % s->out_height, i % p->blocks, gathered);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const qconv2d *q = &p->problem;
  char *rest = scratch;
  void *y = buffers[q->num_inputs];
  if (qconv2d_y_bytes(&q->shape) == 0) return KP_OK;
  running r = {.p = p, .packed = buffers[1], .bias = q->has_bias ? buffers[2] : NULL};
  if (p->packs) {
    pack_filters(p, buffers[1], rest);
    r.packed = rest;
    rest += packed_bytes(p);
  }
  r.x = qconv2d_stage_x(q, buffers[0], &rest);
  r.y = qconv2d_stage_y(q, y, &rest);
  if (p->threads == 1) {
    run_part(&r, rest, 0, 1);
  } else {
#pragma omp parallel num_threads(p->threads)
    run_part(&r, rest, omp_get_thread_num(), omp_get_num_threads());
  }
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
