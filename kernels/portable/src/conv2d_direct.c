/*
 * conv2d of images in blocks of channels: a tile of sums, some pixels of a line by some blocks of
 * filters, stays in registers over all taps and a run of the image's blocks. Pixels are taken from
 * the image itself, one of a pixel's channels at a time.
 *
 * Where the blocks are more than the first-level cache holds filters of, sums go to the output and
 * come back for the next run.
 */
#include <stdlib.h>

#include "blocked.h"
#include "conv2d_problem.h"
#include "level.h"
#include "parallel.h"
#include "problem.h"

/* Of channels; their vectors; blocks of filters that registers hold sums of. */
#if F32_LANES == 16
enum { BLOCK = 16, MOST_BLOCKS = 4 };
#define LAYOUT "nChw16c"
#else
enum { BLOCK = 8, MOST_BLOCKS = F32_LANES == 8 || LEVEL_REGISTERS == 32 ? 2 : 1 };
#define LAYOUT "nChw8c"
#endif
enum { VECTORS = BLOCK / F32_LANES };

#define OVERHEAD 0.5e-6          /* seconds of a run without work */
#define FILTER_BYTES (32 << 10)  /* of a run of blocks: what the first-level cache holds */
#define OUTPUT_BYTES (128 << 10) /* of a unit of work */
#define FLAT_PIXELS 96           /* of a line, where an image is one line of pixels */
#define UNROLL _Pragma("GCC unroll 16")

enum { MOST_PIXELS = 12 };

typedef struct {
  int64_t in_blocks, out_blocks, groups; /* of channels, of filters, of filters' blocks */
  int64_t lines, line_pixels;            /* of the output; not the image's where it is flat */
  int64_t band_lines, bands;             /* a unit of work */
  int64_t run_blocks;                    /* of the image's at a time */
  int64_t weights_values;
  int is_flat, threads;
} direct_plan;

struct kp_prepared {
  conv2d shape;
  direct_plan plan;
  blocked_padding padding;
  int has_bias, packs_weights, in_registers;
  uint32_t num_inputs;
  epilogue after;
  epilogue_step steps[];
};

/* ---- Groups of filters' blocks ---------------------------------------------------- */

/* As many as registers hold sums of; five that are left are three and two, as one alone is slow. */
static int64_t group_count(int64_t blocks) { return (blocks + MOST_BLOCKS - 1) / MOST_BLOCKS; }

static int64_t group_begin(int64_t blocks, int64_t group) {
  const int64_t full = group * MOST_BLOCKS;
  const int uneven = MOST_BLOCKS == 4 && blocks % 4 == 1 && blocks > 1;
  return uneven && group == group_count(blocks) - 1 ? blocks - 2 : kernel_min(full, blocks);
}

static int group_size(int64_t blocks, int64_t group) {
  return (int)(group_begin(blocks, group + 1) - group_begin(blocks, group));
}

/* ---- Plan ---------------------------------------------------------------------- */

static int64_t blocks_of(int64_t channels) { return (channels + BLOCK - 1) / BLOCK; }

/* As measured with AVX-512 and with AVX2, whose registers hold too few sums; the latter's shares
 * stand for other processors too. */
static double expected_seconds(const conv2d *s, const direct_plan *p) {
  const int has_taps = conv2d_taps(s) > 1, is_large = p->weights_values > 20000;
  const double share = F32_LANES < 16 ? (has_taps ? 0.6 : 0.45)
                       : has_taps     ? 1.25
                       : is_large     ? 0.9
                                      : 1.08;
  const double lanes = (double)(p->out_blocks * BLOCK) / (double)(s->filters + !s->filters);
  /* Tiles of few pixels are slow, those at a line's ends, and tiles of one block. */
  const double ends = has_taps ? 1 + 1.5 / (double)(s->out_width + !s->out_width) : 1;
  const double alone = p->out_blocks == 1 && MOST_BLOCKS > 1 ? 1.5 : 1;
  const double sums = (double)(s->batch * s->filters) * (double)conv2d_out_size(s);
  return conv2d_flops(s) / (share * LEVEL_RATE) * lanes * ends * alone + 0.045e-9 * sums;
}

static direct_plan make_plan(const conv2d *s, int threads) {
  direct_plan p = {.in_blocks = blocks_of(s->channels), .out_blocks = blocks_of(s->filters)};
  p.groups = group_count(p.out_blocks);
  p.is_flat = conv2d_taps(s) == 1 && s->stride_h == 1 && s->stride_w == 1 && s->pad_top == 0 &&
              s->pad_left == 0 && conv2d_in_size(s) == conv2d_out_size(s);
  p.line_pixels = p.is_flat ? FLAT_PIXELS : s->out_width;
  p.lines = p.is_flat ? (conv2d_out_size(s) + FLAT_PIXELS - 1) / FLAT_PIXELS : s->out_height;
  const int64_t line_bytes = p.line_pixels * MOST_BLOCKS * BLOCK * (int64_t)sizeof(float);
  p.band_lines = kernel_max(1, kernel_min(p.lines, OUTPUT_BYTES / (line_bytes + !line_bytes)));
  p.bands = (p.lines + p.band_lines - 1) / p.band_lines;
  const int64_t tap_bytes = BLOCK * MOST_BLOCKS * BLOCK * (int64_t)sizeof(float);
  p.run_blocks = kernel_max(1, FILTER_BYTES / (tap_bytes * (conv2d_taps(s) + !conv2d_taps(s))));
  p.weights_values = p.out_blocks * p.in_blocks * conv2d_taps(s) * BLOCK * BLOCK;
  p.threads = kernel_threads(expected_seconds(s, &p), threads);
  return p;
}

/* ---- Weights: [group][block of channels][tap][channel][block of filters][filter] -------- */

static void pack_filters(const conv2d *s, const direct_plan *p, const float *w, float *packed) {
  const int64_t taps = conv2d_taps(s);
  for (int64_t group = 0; group < p->groups; group++) {
    const int64_t first = group_begin(p->out_blocks, group) * BLOCK;
    const int64_t filters = group_size(p->out_blocks, group) * BLOCK;
    for (int64_t c = 0; c < p->in_blocks * BLOCK; c++)
      for (int64_t tap = 0; tap < taps; tap++) {
        float *to = packed + ((c / BLOCK * taps + tap) * BLOCK + c % BLOCK) * filters;
        for (int64_t o = 0; o < filters; o++)
          to[o] = c < s->channels && first + o < s->filters
                      ? w[((first + o) * s->channels + c) * taps + tap]
                      : 0;
      }
    packed += p->in_blocks * taps * BLOCK * filters;
  }
}

/* ---- Sums ----------------------------------------------------------------------- */

/* A tile's surroundings. Distances are in elements. */
typedef struct {
  const float *weights; /* of the run's first block */
  int64_t weights_block;
  int64_t in_pixel, in_line, in_block; /* from an output pixel to the next; between taps */
  int64_t tap_pixel, kernel_w;
  int64_t top, bottom; /* the taps' lines that lie in the image */
  int64_t blocks, last_channels;
  const float *start; /* the bias, or NULL: what lies in the output */
  int64_t out_block;
  f32v low, high;
} line;

/* Where vector `v` of the filters of pixel `p` lies. */
LEVEL_INLINE float *place(const line *l, float *out, int v, int p) {
  return out + v / VECTORS * l->out_block + v % VECTORS * F32_LANES + p * BLOCK;
}

/* `pixels` sums of `filters` blocks, of the taps' columns [left, right). */
LEVEL_INLINE void sum_tile(const int filters, const int pixels, const line *l, const float *in,
                           float *out, int64_t left, int64_t right) {
  const int vectors = filters * VECTORS;
  f32v sum[MOST_BLOCKS * VECTORS][MOST_PIXELS];
  UNROLL for (int v = 0; v < vectors; v++) {
    UNROLL for (int p = 0; p < pixels; p++) sum[v][p] =
        load_f32(l->start ? l->start + v * F32_LANES : place(l, out, v, p));
  }
  for (int64_t block = 0; block < l->blocks; block++) {
    const int64_t channels = block + 1 < l->blocks ? BLOCK : l->last_channels;
    for (int64_t i = l->top; i < l->bottom; i++)
      for (int64_t j = left; j < right; j++) {
        const float *pixel = in + block * l->in_block + i * l->in_line + j * l->tap_pixel;
        const float *w =
            l->weights + block * l->weights_block + (i * l->kernel_w + j) * BLOCK * filters * BLOCK;
        for (int64_t c = 0; c < channels; c++) {
          f32v tap[MOST_BLOCKS * VECTORS];
          UNROLL for (int v = 0; v < vectors; v++) tap[v] = load_f32(w + v * F32_LANES);
          w += filters * BLOCK;
          UNROLL for (int p = 0; p < pixels; p++) {
            const f32v x = broadcast_f32(pixel[p * l->in_pixel + c]);
            UNROLL for (int v = 0; v < vectors; v++) sum[v][p] = fma_f32(x, tap[v], sum[v][p]);
          }
        }
      }
  }
  UNROLL for (int v = 0; v < vectors; v++) {
    UNROLL for (int p = 0; p < pixels; p++)
        store_f32(place(l, out, v, p), min_f32(l->high, max_f32(l->low, sum[v][p])));
  }
}

typedef void sum_function(const line *l, const float *in, float *out, int64_t left, int64_t right);

#define SUM(filters, pixels)                                                                     \
  static void sum_##filters##_##pixels(const line *l, const float *in, float *out, int64_t left, \
                                       int64_t right) {                                          \
    sum_tile(filters, pixels, l, in, out, left, right);                                          \
  }

/* How many pixels a tile may have: those whose sums fill the registers, and fewer. */
typedef struct {
  int pixels;
  sum_function *sum;
} tile;

enum { TILES = 3 };

/* clang-format off */
#if F32_LANES == 16
SUM(1, 12) SUM(1, 4) SUM(1, 1)
SUM(2, 12) SUM(2, 4) SUM(2, 1)
SUM(3, 8) SUM(3, 3) SUM(3, 1)
SUM(4, 6) SUM(4, 3) SUM(4, 1)
static const tile tiles[][TILES] = {
    {{12, sum_1_12}, {4, sum_1_4}, {1, sum_1_1}},
    {{12, sum_2_12}, {4, sum_2_4}, {1, sum_2_1}},
    {{8, sum_3_8}, {3, sum_3_3}, {1, sum_3_1}},
    {{6, sum_4_6}, {3, sum_4_3}, {1, sum_4_1}},
};
#elif F32_LANES == 8 || LEVEL_REGISTERS == 32
SUM(1, 12) SUM(1, 4) SUM(1, 1)
SUM(2, 6) SUM(2, 3) SUM(2, 1)
static const tile tiles[][TILES] = {
    {{12, sum_1_12}, {4, sum_1_4}, {1, sum_1_1}},
    {{6, sum_2_6}, {3, sum_2_3}, {1, sum_2_1}},
};
#else
SUM(1, 6) SUM(1, 3) SUM(1, 1)
static const tile tiles[][TILES] = {{{6, sum_1_6}, {3, sum_1_3}, {1, sum_1_1}}};
#endif
/* clang-format on */

/* ---- Lines ---------------------------------------------------------------------- */

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  const float *weights;
  float low, high;
} running;

/* The taps of `size`, `dilation` apart, from `first` on, that lie in [0, extent). */
static void taps_inside(int64_t first, int64_t extent, int64_t size, int64_t dilation,
                        int64_t *begin, int64_t *end) {
  *begin = first < 0 ? kernel_min(size, (-first + dilation - 1) / dilation) : 0;
  *end = first < extent ? kernel_min(size, (extent - first + dilation - 1) / dilation) : 0;
  *end = kernel_max(*begin, *end);
}

/* Output pixels [0, count) of a line whose first tap's pixel is `in`, column `column` of a line of
 * `width`. */
static void sum_line(const kp_prepared *prepared, const line *l, const tile *of, const float *in,
                     int64_t column, int64_t width, int64_t count, float *out) {
  const conv2d *s = &prepared->shape;
  for (int64_t x = 0; x < count;) {
    int64_t left, right;
    taps_inside(column + x * s->stride_w, width, s->kernel_w, s->dilation_w, &left, &right);
    const tile *t = of;
    for (; t->pixels > 1; t++) {
      int64_t last_left, last_right;
      if (x + t->pixels > count) continue;
      taps_inside(column + (x + t->pixels - 1) * s->stride_w, width, s->kernel_w, s->dilation_w,
                  &last_left, &last_right);
      if (left == last_left && right == last_right) break;
    }
    t->sum(l, in + x * l->in_pixel, out + x * BLOCK, left, right);
    x += t->pixels;
  }
}

/* What follows the sums, over `count` elements of the output from `offset` on. */
static void finish(const running *r, int64_t offset, int64_t count) {
  const kp_prepared *prepared = r->prepared;
  float *y = (float *)r->buffers[prepared->num_inputs] + offset;
  epilogue_tile t = {
      .values = y,
      .rows = 1,
      .columns = (int)count,
      .width = (int)count,
      .scale = 1,
      .output = r->buffers[prepared->num_inputs],
      .offset = offset,
      .row_stride = count,
  };
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

/* One run of the image's blocks, over a band of one image and group of filters. */
static void sum_band(const running *r, line *l, int64_t image, int64_t group, int64_t run,
                     int64_t begin, int64_t end) {
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  const direct_plan *p = &prepared->plan;
  const int64_t in_size = conv2d_in_size(s) * BLOCK, out_size = conv2d_out_size(s) * BLOCK;
  const int64_t first = image * p->out_blocks + group_begin(p->out_blocks, group);
  const int size = group_size(p->out_blocks, group);
  const float *x = (const float *)r->buffers[0] + (image * p->in_blocks + run) * in_size;
  float *y = (float *)r->buffers[prepared->num_inputs] + first * out_size;
  const int is_last = run + l->blocks == p->in_blocks;
  for (int64_t i = begin; i < end; i++) {
    const int64_t at = i * p->line_pixels;
    const int64_t count = kernel_min(p->line_pixels, conv2d_out_size(s) - at);
    int64_t in_y = i * s->stride_h - s->pad_top, top = 0, bottom = 1;
    if (!p->is_flat) taps_inside(in_y, s->height, s->kernel_h, s->dilation_h, &top, &bottom);
    l->top = top, l->bottom = bottom;
    const float *in = p->is_flat ? x + at * BLOCK : x + (in_y * s->width - s->pad_left) * BLOCK;
    sum_line(prepared, l, tiles[size - 1], in, p->is_flat ? 0 : -s->pad_left,
             p->is_flat ? count : s->width, count, y + at * BLOCK);
    for (int b = 0; is_last && !prepared->in_registers && b < size; b++)
      finish(r, (first + b) * out_size + at * BLOCK, count * BLOCK);
  }
}

static void run_unit(const running *r, int64_t unit) {
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  const direct_plan *p = &prepared->plan;
  const int64_t group = unit / p->bands % p->groups, image = unit / p->bands / p->groups;
  const int64_t begin = unit % p->bands * p->band_lines;
  const int64_t end = kernel_min(p->lines, begin + p->band_lines);
  const int64_t filter = group_begin(p->out_blocks, group) * BLOCK;
  const int64_t filters = group_size(p->out_blocks, group) * BLOCK;
  const int64_t taps = conv2d_taps(s);
  float bias[MOST_BLOCKS * BLOCK] = {0};
  if (prepared->has_bias)
    memcpy(bias, (const float *)r->buffers[2] + filter,
           (size_t)kernel_min(filters, s->filters - filter) * sizeof *bias);
  line l = {
      .weights_block = taps * BLOCK * filters,
      .in_pixel = s->stride_w * BLOCK,
      .in_line = s->dilation_h * s->width * BLOCK,
      .in_block = conv2d_in_size(s) * BLOCK,
      .tap_pixel = s->dilation_w * BLOCK,
      .kernel_w = s->kernel_w,
      .out_block = conv2d_out_size(s) * BLOCK,
  };
  int64_t run = 0;
  do {
    l.blocks = kernel_min(p->run_blocks, p->in_blocks - run);
    l.last_channels = kernel_min(BLOCK, s->channels - (run + l.blocks - 1) * BLOCK);
    l.start = run == 0 ? bias : NULL;
    const int is_last = run + l.blocks == p->in_blocks;
    l.low = broadcast_f32(is_last ? r->low : -INFINITY);
    l.high = broadcast_f32(is_last ? r->high : INFINITY);
    l.weights = r->weights + (filter * p->in_blocks + run * filters) * taps * BLOCK;
    sum_band(r, &l, image, group, run, begin, end);
    run += l.blocks;
  } while (run < p->in_blocks);
}

static void run_units(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  for (int64_t unit = begin; unit < end; unit++) run_unit(context, unit);
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  const direct_plan *p = &prepared->plan;
  running r = {.prepared = prepared, .buffers = buffers, .weights = buffers[1]};
  if (conv2d_out_size(&prepared->shape) == 0) return KP_OK;
  if (prepared->packs_weights) {
    pack_filters(&prepared->shape, p, buffers[1], scratch);
    r.weights = scratch;
  }
  epilogue_bounds(&prepared->after, &r.low, &r.high);
  parallel_for(p->threads, prepared->shape.batch * p->groups * p->bands, run_units, &r);
  zero_padding(&prepared->padding, buffers[prepared->num_inputs]);
  return KP_OK;
}

/* ---- The kernel ----------------------------------------------------------------- */

static int check_shape(const conv2d *s, kp_answer *answer) {
  if (s->groups != 1)
    kp_refuse_number(answer, KP_NO_ATTRIBUTE, "groups", "1", s->groups);
  else if (s->out_width > INT32_MAX / BLOCK)
    kp_refuse_number(answer, KP_NO_SHAPE, "output.shape[3]", "a line of fewer than 2^31 elements",
                     s->out_width);
  else
    return 1;
  return 0;
}

static int read_problem(const kp_problem *problem, conv2d *s, kp_answer *answer) {
  return conv2d_read(problem, STORED_F32, s, answer) && check_shape(s, answer) &&
         conv2d_layouts(problem, LAYOUT, answer);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  conv2d s;
  if (!read_problem(problem, &s, answer)) return;
  const direct_plan p = make_plan(&s, problem->threads);
  answer->code = KP_YES;
  if (!kp_is_constant(&problem->inputs[1]))
    answer->scratch_bytes = (uint64_t)p.weights_values * sizeof(float);
  else if (answer->packed_bytes)
    answer->packed_bytes[1] = (uint64_t)p.weights_values * sizeof(float);
  const double sums = (double)(s.batch * s.filters) * (double)conv2d_out_size(&s);
  const double work = expected_seconds(&s, &p) + epilogue_seconds(problem, STORED_F32, sums);
  answer->cost = OVERHEAD + kernel_team_seconds(p.threads) + work / p.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  read_problem(problem, &p->shape, &ignored);
  p->plan = make_plan(&p->shape, problem->threads);
  p->padding = padding_of(&problem->outputs[0]);
  p->has_bias = conv2d_has_bias(problem);
  p->packs_weights = !kp_is_constant(&problem->inputs[1]);
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, STORED_F32, p->steps);
  p->in_registers = epilogue_is_clip(&p->after);
  *prepared = p;
  return KP_OK;
}

static kp_status pack_constant(const kp_prepared *prepared, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  pack_filters(&prepared->shape, &prepared->plan, source, destination);
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

static const kp_kernel list[] = {
    {KERNEL("portable.conv2d.direct.f32"), .query = query, .prepare = prepare,
     .pack_constant = pack_constant, .run = run, .release = release},
};
const kp_kernel_list LEVEL_NAME(conv2d_direct_kernels) = KERNEL_LIST(list);
