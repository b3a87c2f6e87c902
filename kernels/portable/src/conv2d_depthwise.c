/*
 * Depthwise conv2d: channels in the lanes, a ring of the input lines that the kernel covers,
 * padded, from which output lines are summed up.
 */
#include <omp.h>
#include <stdlib.h>

#include "conv2d_problem.h"
#include "lines.h"

#define OVERHEAD 0.5e-6 /* seconds of a run without work */
#define RATE (0.6 * LEVEL_RATE)
#define PIXEL_SECONDS (2.5 * LEVEL_LINE_SECONDS) /* to fetch or store one's line of channels */

/* Pixels that are summed up side by side. */
#define PIXELS (LEVEL_REGISTERS == 32 ? 8 : 4)
#define UNROLL _Pragma("GCC unroll 8")

typedef struct {
  int64_t groups;      /* of LINE_CHANNELS channels */
  int64_t ring_lines;  /* that the kernel covers */
  int64_t line_pixels; /* of a padded line */
  int64_t thread_values, weights_values;
  int threads;
} depthwise_plan;

struct kp_prepared {
  conv2d shape;
  depthwise_plan plan;
  image x, y;
  int has_bias, packs_weights;
  uint32_t num_inputs;
  epilogue after;
  epilogue_step steps[];
};

static depthwise_plan make_plan(const conv2d *s, int threads) {
  depthwise_plan p = {.groups = (s->channels + LINE_CHANNELS - 1) / LINE_CHANNELS};
  p.ring_lines = (s->kernel_h - 1) * s->dilation_h + 1;
  p.line_pixels = (kernel_round_up(s->out_width, PIXELS) - 1) * s->stride_w +
                  (s->kernel_w - 1) * s->dilation_w + 1;
  p.thread_values = (p.ring_lines * p.line_pixels + LINE_PIXELS) * LINE_CHANNELS;
  p.weights_values = p.groups * conv2d_taps(s) * LINE_CHANNELS;
  p.threads = kernel_threads(conv2d_flops(s) / RATE, threads);
  return p;
}

/* ---- Weights: [group of channels][tap][LINE_CHANNELS] ------------------------- */

LEVEL_INLINE void pack_filters(storage stored, const conv2d *s, const void *w, float *destination) {
  int64_t taps = conv2d_taps(s), channels = kernel_round_up(s->channels, LINE_CHANNELS);
  for (int64_t c = 0; c < channels; c++)
    for (int64_t i = 0; i < taps; i++)
      destination[(c / LINE_CHANNELS * taps + i) * LINE_CHANNELS + c % LINE_CHANNELS] =
          c < s->channels ? load_element(stored, w, c * taps + i) : 0;
}

/* ---- Lines -------------------------------------------------------------------- */

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  const float *weights;
  float *ring, *out; /* of the thread */
} running;

/* Input line `y`, padded on both sides, into its place in the ring. */
static void load_line(const running *r, int64_t batch, int64_t channel, int64_t y) {
  const conv2d *s = &r->prepared->shape;
  const depthwise_plan *p = &r->prepared->plan;
  int64_t place = (y % p->ring_lines + p->ring_lines) % p->ring_lines;
  float *line = r->ring + place * p->line_pixels * LINE_CHANNELS;
  int64_t begin = kernel_min(s->pad_left, p->line_pixels);
  int64_t end = kernel_min(p->line_pixels, s->pad_left + s->width);
  if (y < 0 || y >= s->height || end < begin) begin = end = 0;
  memset(line, 0, (size_t)(begin * LINE_CHANNELS) * sizeof *line);
  if (end > begin)
    BASE_NAME(lines_load)(&r->prepared->x, r->buffers[0], batch, channel, y, 0, end - begin,
                          line + begin * LINE_CHANNELS);
  memset(line + end * LINE_CHANNELS, 0,
         (size_t)((p->line_pixels - end) * LINE_CHANNELS) * sizeof *line);
}

/* Output pixels [x, x + count), rounded up to PIXELS, of the line whose first input line is y. */
LEVEL_INLINE void filter_line(int kernel_w, int stride, int dilation, const running *r,
                              const float *weights, int64_t y, int64_t x, int64_t count) {
  const conv2d *s = &r->prepared->shape;
  const depthwise_plan *p = &r->prepared->plan;
  int64_t first = (y % p->ring_lines + p->ring_lines) % p->ring_lines;
  for (int64_t at = 0; at < count; at += PIXELS)
    for (int v = 0; v < LINE_CHANNELS; v += F32_LANES) {
      f32v sum[PIXELS];
      UNROLL for (int q = 0; q < PIXELS; q++) sum[q] = (f32v){0};
      const float *w = weights + v;
      int64_t line = first;
      for (int64_t i = 0; i < s->kernel_h; i++) {
        const float *in = r->ring + (line * p->line_pixels + (x + at) * stride) * LINE_CHANNELS + v;
        UNROLL for (int j = 0; j < kernel_w; j++) {
          f32v tap = load_f32(w);
          UNROLL for (int q = 0; q < PIXELS; q++) {
            f32v pixel = load_f32(in + (q * stride + j * dilation) * LINE_CHANNELS);
            sum[q] = fma_f32(tap, pixel, sum[q]);
          }
          w += LINE_CHANNELS;
        }
        line += s->dilation_h;
        if (line >= p->ring_lines) line -= p->ring_lines;
      }
      UNROLL for (int q = 0; q < PIXELS; q++)
          store_f32(r->out + (at + q) * LINE_CHANNELS + v, sum[q]);
    }
}

static void filter(const running *r, const float *weights, int64_t y, int64_t x, int64_t count) {
  const conv2d *s = &r->prepared->shape;
  int64_t kernel_w = s->kernel_w, stride = s->stride_w;
  if (s->dilation_w == 1 && kernel_w == 3 && stride == 1)
    filter_line(3, 1, 1, r, weights, y, x, count);
  else if (s->dilation_w == 1 && kernel_w == 3 && stride == 2)
    filter_line(3, 2, 1, r, weights, y, x, count);
  else if (s->dilation_w == 1 && kernel_w == 5 && stride == 1)
    filter_line(5, 1, 1, r, weights, y, x, count);
  else if (s->dilation_w == 1 && kernel_w == 5 && stride == 2)
    filter_line(5, 2, 1, r, weights, y, x, count);
  else
    filter_line((int)kernel_w, (int)stride, (int)s->dilation_w, r, weights, y, x, count);
}

static void output_line(const running *r, const float *bias, int64_t batch, int64_t channel,
                        int64_t y) {
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  const float *weights = r->weights + channel * conv2d_taps(s);
  int64_t in_y = y * s->stride_h - s->pad_top;
  for (int64_t x = 0; x < s->out_width; x += LINE_PIXELS) {
    int count = (int)kernel_min(LINE_PIXELS, s->out_width - x);
    filter(r, weights, in_y, x, count);
    BASE_NAME(lines_store)(&prepared->y, &prepared->after, r->buffers,
                           r->buffers[prepared->num_inputs], bias, batch, channel, y, x, count,
                           r->out);
  }
}

/* Output lines [begin, end) of all images and groups of channels. */
static void output_lines(const running *r, int64_t begin, int64_t end) {
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  float bias[LINE_CHANNELS];
  int64_t loaded = 0; /* the first input line that isn't in the ring */
  for (int64_t i = begin; i < end; i++) {
    int64_t y = i % s->out_height, plane = i / s->out_height;
    int64_t batch = plane / prepared->plan.groups;
    int64_t channel = plane % prepared->plan.groups * LINE_CHANNELS;
    int64_t first = y * s->stride_h - s->pad_top;
    if (i == begin || y == 0) {
      loaded = first;
      for (int j = 0; prepared->has_bias && j < LINE_CHANNELS; j++)
        bias[j] = channel + j < s->channels
                      ? load_element(prepared->x.stored, r->buffers[2], channel + j)
                      : 0;
    }
    if (loaded < first) loaded = first;
    for (; loaded < first + prepared->plan.ring_lines; loaded++)
      load_line(r, batch, channel, loaded);
    output_line(r, prepared->has_bias ? bias : NULL, batch, channel, y);
  }
}

static void run_part(running r, float *scratch, int thread, int threads) {
  const depthwise_plan *p = &r.prepared->plan;
  int64_t begin, end;
  kernel_split(r.prepared->shape.batch * p->groups * r.prepared->shape.out_height, threads, thread,
               &begin, &end);
  r.ring = scratch + thread * p->thread_values;
  r.out = r.ring + p->thread_values - LINE_PIXELS * LINE_CHANNELS;
  output_lines(&r, begin, end);
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  const depthwise_plan *p = &prepared->plan;
  running r = {.prepared = prepared, .buffers = buffers, .weights = buffers[1]};
  float *rest = scratch;
  if (conv2d_out_size(&prepared->shape) == 0) return KP_OK;
  if (prepared->packs_weights) {
    FOR_STORAGE(prepared->x.stored, pack_filters, &prepared->shape, buffers[1], rest);
    r.weights = rest;
    rest += p->weights_values;
  }
  if (p->threads == 1) {
    run_part(r, rest, 0, 1);
    return KP_OK;
  }
#pragma omp parallel num_threads(p->threads)
  run_part(r, rest, omp_get_thread_num(), omp_get_num_threads());
  return KP_OK;
}

/* ---- The kernel ---------------------------------------------------------------- */

static int read_problem(const kp_problem *problem, storage stored, conv2d *s, image *x, image *y,
                        kp_answer *answer) {
  if (!conv2d_read(problem, stored, s, answer)) return 0;
  if (s->group_channels != 1 || s->group_filters != 1)
    return kp_refuse_number(answer, KP_NO_ATTRIBUTE, "groups", "x's and w's channels", s->groups),
           0;
  int x_block, y_block;
  if (!BASE_NAME(lines_layouts)(problem, &x_block, &y_block, answer)) return 0;
  *x = (image){stored, x_block, s->channels, s->height, s->width};
  *y = (image){stored, y_block, s->filters, s->out_height, s->out_width};
  return 1;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  conv2d s;
  image x, y;
  if (!read_problem(problem, *(const storage *)kernel->context, &s, &x, &y, answer)) return;
  depthwise_plan p = make_plan(&s, problem->threads);
  int64_t values = p.threads * p.thread_values;
  answer->code = KP_YES;
  if (!kp_is_constant(&problem->inputs[1]))
    values += p.weights_values;
  else if (answer->packed_bytes)
    answer->packed_bytes[1] = (uint64_t)p.weights_values * sizeof(float);
  answer->scratch_bytes = (uint64_t)values * sizeof(float);
  double pixels = (double)(s.batch * p.groups) * (double)(conv2d_out_size(&s) + s.height * s.width);
  double lanes = (double)(p.groups * LINE_CHANNELS) / (double)(s.channels + !s.channels);
  answer->cost = OVERHEAD + kernel_team_seconds(p.threads) +
                 (pixels * PIXEL_SECONDS + conv2d_flops(&s) * lanes / RATE) / p.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  storage stored = *(const storage *)kernel->context;
  read_problem(problem, stored, &p->shape, &p->x, &p->y, &ignored);
  p->plan = make_plan(&p->shape, problem->threads);
  p->has_bias = conv2d_has_bias(problem);
  p->packs_weights = !kp_is_constant(&problem->inputs[1]);
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, stored, p->steps);
  *prepared = p;
  return KP_OK;
}

static kp_status pack_constant(const kp_prepared *prepared, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  FOR_STORAGE(prepared->x.stored, pack_filters, &prepared->shape, source, (float *)destination);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define CONV2D(name, stored)                                                \
  {KERNEL(name),       .context = &(const storage){stored}, .query = query, \
   .prepare = prepare, .pack_constant = pack_constant,      .run = run,     \
   .release = release}

static const kp_kernel list[] = {
    CONV2D("portable.conv2d.depthwise.f32", STORED_F32),
    CONV2D("portable.conv2d.depthwise.bf16", STORED_BF16),
    CONV2D("portable.conv2d.depthwise.f16", STORED_F16),
};
const kp_kernel_list LEVEL_NAME(conv2d_depthwise_kernels) = KERNEL_LIST(list);
