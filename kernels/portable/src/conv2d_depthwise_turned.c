/*
 * Depthwise conv2d of small nchw images: as many channels as a vector has lanes are turned, so that
 * a pixel's channels lie side by side, are summed up without any product of the padding, and are
 * turned back.
 */
#include <stdlib.h>

#include "conv2d_depthwise.h"
#include "parallel.h"

#define OVERHEAD 0.3e-6 /* seconds of a run without work */

#define COLUMNS 7 /* that are summed up side by side */
#define MAX_SIZE 7
/* Products' time that a pixel takes to be turned. */
#define TURNING (F32_LANES == 16 ? 9 : F32_LANES == 8 ? 6.6 : 8)
#define MAX_BYTES (448 * 1024) /* of images that are turned at once, in and out */
#define UNROLL _Pragma("GCC unroll 32")

typedef struct {
  int64_t groups; /* of F32_LANES channels */
  int64_t in_values, out_values, sums_values;
  int64_t thread_values, weights_values;
  int threads;
} turned_plan;

struct kp_prepared {
  conv2d shape;
  turned_plan plan;
  int has_bias, packs_weights, in_registers;
  uint32_t num_inputs;
  epilogue after;
  epilogue_step steps[];
};

/* Products of one image, less those of the padding, along one side. */
static double products(int64_t size, int64_t stride, int64_t out) {
  const int64_t reach = size / 2, cut = stride == 1 ? reach * (reach + 1) : reach;
  return (double)(out * size - cut);
}

static double expected_seconds(const conv2d *s) {
  const double groups = (double)(s->batch * ((s->channels + F32_LANES - 1) / F32_LANES));
  const double sums = products(s->kernel_h, s->stride_h, s->out_height) *
                      products(s->kernel_w, s->stride_w, s->out_width);
  const double turned = (double)(conv2d_in_size(s) + conv2d_out_size(s));
  return groups * (sums + TURNING * turned + 60) * (2.0 * F32_LANES / LEVEL_RATE);
}

static turned_plan make_plan(const conv2d *s, int in_registers, int threads) {
  turned_plan p = {.groups = (s->channels + F32_LANES - 1) / F32_LANES,
                   .in_values = conv2d_in_size(s) * F32_LANES,
                   .out_values = conv2d_out_size(s) * F32_LANES};
  p.weights_values = kernel_round_up(p.groups * conv2d_taps(s) * F32_LANES, KP_ALIGNMENT);
  p.sums_values = in_registers ? 0 : p.out_values + F32_LANES;
  p.thread_values = kernel_round_up(p.in_values + p.out_values + p.sums_values, KP_ALIGNMENT);
  p.threads = kernel_threads(expected_seconds(s), threads);
  return p;
}

/* The lanes' first channel: the last group overlaps the one before it. */
static int64_t first_channel(const conv2d *s, int64_t group) {
  return kernel_max(kernel_min(group * F32_LANES, s->channels - F32_LANES), 0);
}

/* Weights: [group][tap][F32_LANES] */
static void pack_filters(const conv2d *s, int64_t groups, const float *w, float *to) {
  const int64_t taps = conv2d_taps(s);
  for (int64_t g = 0; g < groups; g++) {
    const int64_t first = first_channel(s, g);
    for (int64_t i = 0; i < taps; i++)
      for (int64_t c = first; c < first + F32_LANES; c++)
        *to++ = c < s->channels ? w[c * taps + i] : 0;
  }
}

/* ---- Turning ------------------------------------------------------------------ */

/* Four columns of F32_LANES rows that lie `stride` apart become rows. */
LEVEL_INLINE void turn_four(const float *from, int64_t stride, f32v block[4]) {
  UNROLL for (int i = 0; i < 4; i++) block[i] = load_quads_f32(from + i * stride, 4 * stride);
  transpose_quads_f32(block);
}

/* `size` pixels of `channels` images that follow one another; the last pixels overlap. */
static void turn_in(const float *from, int64_t size, int channels, float *to) {
  if (channels < F32_LANES) {
    for (int64_t p = 0; p < size; p++)
      for (int c = 0; c < F32_LANES; c++)
        to[p * F32_LANES + c] = c < channels ? from[c * size + p] : 0;
    return;
  }
  for (int64_t at = 0; at < size; at += 4) {
    const int64_t p = kernel_min(at, size - 4);
    f32v block[4];
    turn_four(from + p, size, block);
    UNROLL for (int i = 0; i < 4; i++) store_f32(to + (p + i) * F32_LANES, block[i]);
  }
}

/* The reverse, of lanes [begin, end); `to` is the first one's. */
static void turn_out(const float *from, int64_t size, int begin, int end, float *to) {
  const int64_t whole = size / F32_LANES * F32_LANES;
  for (int64_t p = 0; p < whole; p += F32_LANES)
    for (int c = begin / 4 * 4; c < end; c += 4) {
      f32v block[4];
      turn_four(from + p * F32_LANES + c, F32_LANES, block);
      UNROLL for (int i = 0; i < 4; i++) if (c + i >= begin && c + i < end)
          store_f32(to + (c + i - begin) * size + p, block[i]);
    }
  for (int64_t p = whole; p < size; p++)
    for (int c = begin; c < end; c++) to[(c - begin) * size + p] = from[p * F32_LANES + c];
}

/* ---- Sums --------------------------------------------------------------------- */

/* A line of output pixels, all in lanes of channels. */
typedef struct {
  const float *in;      /* the first of `rows` lines of the image that it sees */
  const float *weights; /* of that line's taps */
  int64_t rows, in_line;
  float *out;
  f32v bias, low, high;
} line;

/* COLUMNS output pixels from `x` on. `begins`: they see the image's left edge; `ends`: it ends
 * `odd` columns before the last pixel's strides do. */
LEVEL_INLINE void sum_up(int begins, int ends, int odd, int size, int stride, const line *l,
                         int64_t x) {
  const int reach = size / 2, left = begins ? 0 : -reach;
  const int right = ends ? COLUMNS * stride - odd : (COLUMNS - 1) * stride + reach + 1;
  const float *in = l->in + x * stride * F32_LANES, *w = l->weights;
  const f32v low = l->low, high = l->high;
  float *out = l->out + x * F32_LANES;
  f32v sum[COLUMNS];
  UNROLL for (int o = 0; o < COLUMNS; o++) sum[o] = l->bias;
  for (int64_t i = l->rows; i > 0; i--, in += l->in_line, w += size * F32_LANES) {
    f32v weights[MAX_SIZE];
    LEVEL_KEEP_LOADS;
    UNROLL for (int j = 0; j < size; j++) weights[j] = load_f32(w + j * F32_LANES);
    UNROLL for (int q = left; q < right; q++) {
      f32v pixel = load_f32(in + q * F32_LANES);
      /* Loaded once, rather than by each product that takes it. */
      if (size < MAX_SIZE) pixel = rounded_f32(pixel);
      UNROLL for (int o = 0; o < COLUMNS; o++) {
        const int j = q - o * stride + reach;
        if (j >= 0 && j < size) sum[o] = fma_f32(weights[j], pixel, sum[o]);
      }
    }
  }
  UNROLL for (int o = 0; o < COLUMNS; o++)
      store_f32(out + o * F32_LANES, min_f32(high, max_f32(low, sum[o])));
}

/* A whole line; the last pixels overlap. */
LEVEL_INLINE void sum_line(int odd, int size, int stride, const line *l, int64_t width) {
  const int64_t last = width - COLUMNS;
  const int64_t inner = last - (stride == 1 ? size / 2 : 1); /* the last that see no edge */
  if (last == 0) {
    sum_up(1, 1, odd, size, stride, l, 0);
    return;
  }
  sum_up(1, 0, odd, size, stride, l, 0);
  for (int64_t x = COLUMNS; x < last; x += COLUMNS)
    sum_up(0, 0, odd, size, stride, l, kernel_min(x, inner));
  sum_up(0, 1, odd, size, stride, l, last);
}

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  const float *weights;
  float *scratch;
  float low, high; /* between which sums are clipped in registers */
} running;

LEVEL_INLINE void sum_image(int odd, int size, int stride, const conv2d *s, const line *common,
                            const float *in, const float *weights, float *out) {
  line each = *common, *l = &each;
  for (int64_t y = 0; y < s->out_height; y++) {
    const int64_t top = y * s->stride_h - s->pad_top;
    const int64_t begin = kernel_max(0, -top), end = kernel_min(size, s->height - top);
    l->rows = kernel_max(end - begin, 0);
    l->in = in + (l->rows ? top + begin : 0) * l->in_line;
    l->weights = weights + (l->rows ? begin : 0) * size * F32_LANES;
    l->out = out + y * s->out_width * F32_LANES;
    sum_line(odd, size, stride, l, s->out_width);
  }
}

typedef void sum_function(const conv2d *s, const line *l, const float *in, const float *weights,
                          float *out);

#define SUM(odd, size, stride)                                                               \
  static void sum_##odd##_##size##_##stride(const conv2d *s, const line *l, const float *in, \
                                            const float *weights, float *out) {              \
    sum_image(odd, size, stride, s, l, in, weights, out);                                    \
  }
SUM(0, 3, 1)
SUM(0, 5, 1)
SUM(0, 7, 1)
SUM(0, 3, 2)
SUM(0, 5, 2)
SUM(1, 3, 2)
SUM(1, 5, 2)

/* By the size, and by the stride and whether the width is odd. */
static sum_function *const sums[3][3] = {
    {sum_0_3_1, sum_0_3_2, sum_1_3_2},
    {sum_0_5_1, sum_0_5_2, sum_1_5_2},
    {sum_0_7_1},
};

/* What is stored of `channels` channels from `first` on, counted through all images. */
static void finish(const running *r, int64_t first, int channels, float *dense) {
  const kp_prepared *prepared = r->prepared;
  const int64_t size = conv2d_out_size(&prepared->shape);
  /* All their pixels follow one another; four lines are brought through the steps at once. */
  const int rows = channels % 4 == 0 ? 4 : 1, columns = (int)(channels * size / rows);
  epilogue_tile t = {
      .values = dense,
      .rows = rows,
      .columns = columns,
      .width = columns,
      .scale = 1,
      .output = r->buffers[prepared->num_inputs],
      .offset = first * size,
      .row_stride = columns,
  };
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

/* Groups [begin, end) of channels of all images. */
static void run_part(const void *context, int64_t begin, int64_t end, int thread) {
  const running *r = context;
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  const turned_plan *p = &prepared->plan;
  const int64_t in_size = conv2d_in_size(s), out_size = conv2d_out_size(s);
  float *in = r->scratch + thread * p->thread_values, *out = in + p->in_values;
  float *dense = out + p->out_values;
  const int way = s->stride_w == 1 ? 0 : s->width % 2 ? 2 : 1;
  sum_function *const sum = sums[s->kernel_w / 2 - 1][way];
  line l = {.in_line = s->width * F32_LANES,
            .low = broadcast_f32(r->low),
            .high = broadcast_f32(r->high)};
  for (int64_t i = begin; i < end; i++) {
    const int64_t group = i % p->groups, channel = first_channel(s, group);
    const int64_t first = i / p->groups * s->channels + channel;
    const int channels = (int)kernel_min(F32_LANES, s->channels);
    const int done = (int)(group * F32_LANES - channel); /* by the group before */
    turn_in((const float *)r->buffers[0] + first * in_size, in_size, channels, in);
    l.bias = (f32v){0};
    if (prepared->has_bias)
      l.bias = load_f32_first((const float *)r->buffers[2] + channel, channels);
    sum(s, &l, in, r->weights + group * conv2d_taps(s) * F32_LANES, out);
    if (prepared->in_registers) {
      turn_out(out, out_size, done, channels,
               (float *)r->buffers[prepared->num_inputs] + (first + done) * out_size);
    } else {
      turn_out(out, out_size, done, channels, dense);
      finish(r, first + done, channels - done, dense);
    }
  }
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  const conv2d *s = &prepared->shape;
  const turned_plan *p = &prepared->plan;
  if (conv2d_out_size(s) == 0) return KP_OK;
  running r = {.prepared = prepared, .buffers = buffers, .weights = buffers[1], .scratch = scratch};
  if (prepared->packs_weights) {
    pack_filters(s, p->groups, buffers[1], scratch);
    r.weights = scratch;
    r.scratch += p->weights_values;
  }
  epilogue_bounds(&prepared->after, &r.low, &r.high);
  parallel_for(p->threads, s->batch * p->groups, run_part, &r);
  return KP_OK;
}

/* ---- The kernel ----------------------------------------------------------------- */

/* Do pixels that are summed up side by side see one of the image's edges at most, or all do? */
static int has_places(const conv2d *s) {
  const int64_t last = s->out_width - COLUMNS, reach = s->kernel_w / 2;
  return last == 0 ||
         (last * s->stride_w >= reach && (COLUMNS - 1) * s->stride_w + reach < s->width);
}

static int check_shape(const conv2d *s, kp_answer *answer) {
  const int64_t pixels = conv2d_in_size(s) + conv2d_out_size(s);
  if (!depthwise_check_window(s, answer)) return 0;
  if (s->out_width < COLUMNS || !has_places(s))
    kp_refuse_number(answer, KP_NO_SHAPE, "x.shape[3]",
                     "a line of 7 pixels, or whose first and last 7 see one edge each", s->width);
  else if (pixels > MAX_BYTES / (int64_t)(F32_LANES * sizeof(float)))
    kp_refuse_number(answer, KP_NO_SHAPE, "x.shape[2:]",
                     "images of which a vector's lanes fit into 448 KiB, in and out", pixels);
  else
    return 1;
  return 0;
}

static int read_problem(const kp_problem *problem, conv2d *s, kp_answer *answer) {
  return conv2d_read(problem, STORED_F32, s, answer) && check_shape(s, answer) &&
         conv2d_layouts(problem, "nchw", answer);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  conv2d s;
  if (!read_problem(problem, &s, answer)) return;
  const turned_plan p = make_plan(&s, 0, problem->threads);
  int64_t values = p.threads * p.thread_values;
  answer->code = KP_YES;
  if (!kp_is_constant(&problem->inputs[1]))
    values += p.weights_values;
  else if (answer->packed_bytes)
    answer->packed_bytes[1] = (uint64_t)p.weights_values * sizeof(float);
  answer->scratch_bytes = (uint64_t)values * sizeof(float);
  const double sums = (double)(s.batch * s.channels) * (double)conv2d_out_size(&s);
  const double work = expected_seconds(&s) + epilogue_seconds(problem, STORED_F32, sums);
  answer->cost = OVERHEAD + kernel_team_seconds(p.threads) + work / p.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  read_problem(problem, &p->shape, &ignored);
  p->has_bias = conv2d_has_bias(problem);
  p->packs_weights = !kp_is_constant(&problem->inputs[1]);
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, STORED_F32, p->steps);
  p->in_registers = epilogue_is_clip(&p->after);
  p->plan = make_plan(&p->shape, p->in_registers, problem->threads);
  *prepared = p;
  return KP_OK;
}

static kp_status pack_constant(const kp_prepared *prepared, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_filters(&prepared->shape, prepared->plan.groups, source, destination);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

static const kp_kernel list[] = {
    {KERNEL("portable.conv2d.depthwise_turned.f32"), .query = query, .prepare = prepare,
     .pack_constant = pack_constant, .run = run, .release = release},
};
const kp_kernel_list LEVEL_NAME(conv2d_depthwise_turned_kernels) = KERNEL_LIST(list);
