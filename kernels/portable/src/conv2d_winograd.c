/*
 * conv2d with 3x3 kernels by Winograd's F(4x4, 3x3): a quarter of the multiplications. Tiles of
 * 6x6 input pixels are transformed to 36 points, at each of which tiles by channels are multiplied
 * by channels by filters, and the products transformed back to 4x4 output pixels.
 *
 * Tiles are worked on in blocks. Where the transformed filters stay in a core's cache, every
 * thread has blocks of its own; else the threads share each block and divide the filters.
 */
#include <omp.h>
#include <stdlib.h>

#include "conv2d_problem.h"
#include "gemm.h"
#include "lines.h"
#include "parallel.h"
#include "winograd_transform.h"

#define OVERHEAD 1e-6                               /* seconds of a run without work */
#define RATE (1.15 * LEVEL_RATE)                    /* its operands are packed already */
#define TRANSFORM_SECONDS (40 * LEVEL_LINE_SECONDS) /* of one tile's LINE_CHANNELS */
#define FILTER_RATE 1.2e10 /* bytes a second at which filters are read from memory */
#define OWN_FILTER_BYTES (1024 * 1024)
#define OWN_BLOCK_BYTES (1536 * 1024)
#define SHARED_BLOCK_BYTES (6 * 1024 * 1024)

#define SEGMENT_TILES (LINE_PIXELS / WINOGRAD_OUT)
#define IN_LINE ((LINE_PIXELS + 2) * LINE_CHANNELS)
#define OUT_LINE (LINE_PIXELS * LINE_CHANNELS)
#define LINES_VALUES (WINOGRAD_IN * IN_LINE + WINOGRAD_OUT * OUT_LINE)

typedef struct {
  int64_t tiles_y, tiles_x, tiles; /* tiles: of all images */
  int64_t block_tiles, blocks;
  int64_t padded_channels, column_tiles;
  int64_t points_values, products_values, block_values; /* of a block's scratch */
  int64_t filters_values;                               /* of the packed weights */
  int threads, shared;
} winograd_plan;

struct kp_prepared {
  conv2d shape;
  winograd_plan plan;
  image x, y;
  int has_bias;
  uint32_t num_inputs;
  epilogue after;
  epilogue_step steps[];
};

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static winograd_plan make_plan(const conv2d *s, int threads) {
  winograd_plan p = {.tiles_y = divide_up(s->out_height, WINOGRAD_OUT),
                     .tiles_x = divide_up(s->out_width, WINOGRAD_OUT),
                     .padded_channels = kernel_round_up(s->channels, LINE_CHANNELS),
                     .column_tiles = divide_up(s->filters, NR),
                     .threads = 1};
  p.tiles = s->batch * p.tiles_y * p.tiles_x;
  p.filters_values = WINOGRAD_POINTS * gemm_packed_b_values(s->filters, s->channels);
  if (p.tiles == 0 || s->filters == 0) return p;
  double work = 2.0 * WINOGRAD_POINTS * (double)p.tiles * (double)s->channels * (double)s->filters;
  p.threads = kernel_threads(work / RATE, threads);
  p.shared = p.threads > 1 && p.filters_values * (int64_t)sizeof(float) > OWN_FILTER_BYTES;

  int64_t tile_bytes = WINOGRAD_POINTS * (p.padded_channels + p.column_tiles * NR) * 4;
  int64_t fits = (p.shared ? SHARED_BLOCK_BYTES : OWN_BLOCK_BYTES) / tile_bytes;
  if (fits < 2 * MR) fits = 2 * MR;
  p.blocks = divide_up(p.tiles, fits);
  if (!p.shared) p.blocks = kernel_min(kernel_round_up(p.blocks, p.threads), p.tiles);
  p.block_tiles = divide_up(p.tiles, p.blocks);
  /* The line that is added keeps the points from falling into the same few sets of a cache. */
  p.points_values = p.block_tiles * p.padded_channels + LINE_CHANNELS;
  p.products_values =
      gemm_row_tiles(p.block_tiles, A_CHUNKS) * p.column_tiles * MR * NR + LINE_CHANNELS;
  p.block_values =
      kernel_round_up(WINOGRAD_POINTS * (p.points_values + p.products_values), LINE_CHANNELS);
  return p;
}

static int64_t scratch_values(const winograd_plan *p) {
  return (p->shared ? 1 : p->threads) * p->block_values + p->threads * LINES_VALUES;
}

/* ---- A block of tiles ------------------------------------------------------- */

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  int64_t first, count;     /* tiles */
  float *points, *products; /* of the block */
  float *lines;             /* of the thread */
  int part, parts;          /* the thread's share of the block's work */
} block;

/* Consecutive tiles of one row of tiles, and the number of the first in its block. */
typedef struct {
  int64_t batch, y, x, count, number;
} segment;

static segment segment_at(const block *b, int64_t number) {
  const winograd_plan *p = &b->prepared->plan;
  int64_t tile = b->first + number;
  segment s = {.x = tile % p->tiles_x, .number = number};
  s.y = tile / p->tiles_x % p->tiles_y;
  s.batch = tile / p->tiles_x / p->tiles_y;
  s.count = kernel_min(kernel_min(p->tiles_x - s.x, b->count - number), SEGMENT_TILES);
  return s;
}

/* The row of the block's matrix that holds a tile: its tile of rows, and the row in it. */
typedef struct {
  int64_t tile, begin, rows, row;
} place;

static place place_of(int64_t count, int64_t number) {
  int64_t tiles = gemm_row_tiles(count, A_CHUNKS), base = count / tiles, extra = count % tiles;
  int64_t longer = extra * (base + 1);
  place p;
  p.tile = number < longer ? number / (base + 1) : extra + (number - longer) / base;
  p.begin = gemm_tile_row(count, A_CHUNKS, p.tile);
  p.rows = gemm_tile_row(count, A_CHUNKS, p.tile + 1) - p.begin;
  p.row = number - p.begin;
  return p;
}

/* Loads the pixels that a segment's tiles see, zeros around the image. */
static void load_lines(const block *b, const segment *g, int64_t channel) {
  const conv2d *s = &b->prepared->shape;
  int64_t pixels = g->count * WINOGRAD_OUT + 2;
  int64_t left = g->x * WINOGRAD_OUT - s->pad_left;
  int64_t begin = left < 0 ? kernel_min(-left, pixels) : 0;
  int64_t end = kernel_min(pixels, s->width - left);
  if (end < begin) end = begin;
  for (int i = 0; i < WINOGRAD_IN; i++) {
    float *line = b->lines + i * IN_LINE;
    int64_t y = g->y * WINOGRAD_OUT + i - s->pad_top;
    if (y < 0 || y >= s->height || begin == end) {
      memset(line, 0, (size_t)(pixels * LINE_CHANNELS) * sizeof *line);
      continue;
    }
    memset(line, 0, (size_t)(begin * LINE_CHANNELS) * sizeof *line);
    BASE_NAME(lines_load)(&b->prepared->x, b->buffers[0], g->batch, channel, y, left + begin,
                          end - begin, line + begin * LINE_CHANNELS);
    memset(line + end * LINE_CHANNELS, 0, (size_t)((pixels - end) * LINE_CHANNELS) * sizeof *line);
  }
}

static void transform_input(const block *b, const segment *g, int64_t channel) {
  const winograd_plan *p = &b->prepared->plan;
  load_lines(b, g, channel);
  for (int64_t i = 0; i < g->count; i++) {
    place at = place_of(b->count, g->number + i);
    const float *in = b->lines + i * WINOGRAD_OUT * LINE_CHANNELS;
    for (int v = 0; v < LINE_CHANNELS; v += F32_LANES) {
      int64_t chunk = (channel + v) / A_CHUNK;
      float *out = b->points + at.begin * p->padded_channels + (chunk * at.rows + at.row) * A_CHUNK;
      winograd_input(in + v, IN_LINE, LINE_CHANNELS, out + v % A_CHUNK, p->points_values);
    }
  }
}

static void multiply_points(const block *b, const float *filters) {
  const winograd_plan *p = &b->prepared->plan;
  const conv2d *s = &b->prepared->shape;
  int64_t begin, end, row_tiles = gemm_row_tiles(b->count, A_CHUNKS);
  kernel_split(WINOGRAD_POINTS * p->column_tiles, b->parts, b->part, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t point = i / p->column_tiles, column = i % p->column_tiles;
    int vectors = micro_vectors(s->filters - column * NR);
    const float *w = filters + (point * p->column_tiles + column) * NR * s->channels;
    for (int64_t r = 0; r < row_tiles; r++) {
      int64_t row = gemm_tile_row(b->count, A_CHUNKS, r),
              rows = gemm_tile_row(b->count, A_CHUNKS, r + 1) - row;
      micro_output output = {
          .values =
              b->products + point * p->products_values + (r * p->column_tiles + column) * MR * NR,
          .stride = vectors * F32_LANES,
      };
      BASE_NAME(micro_f32)
      [A_CHUNKS][vectors - 1][rows - 1](
          s->channels, b->points + point *p->points_values + row *p->padded_channels, rows *A_CHUNK,
          w, NR, &output);
    }
  }
}

static void transform_output(const block *b, const segment *g, int64_t channel) {
  const winograd_plan *p = &b->prepared->plan;
  const conv2d *s = &b->prepared->shape;
  float *lines = b->lines + WINOGRAD_IN * IN_LINE;
  for (int v = 0; v < LINE_CHANNELS; v += F32_LANES) {
    int64_t filter = channel + v, column = filter / NR;
    if (filter >= s->filters) { /* the lanes go on to fill up a block: any finite value */
      for (int i = 0; i < WINOGRAD_OUT; i++)
        for (int64_t x = 0; x < g->count * WINOGRAD_OUT; x++)
          store_f32(lines + i * OUT_LINE + x * LINE_CHANNELS + v, (f32v){0});
      continue;
    }
    int64_t width = micro_vectors(s->filters - column * NR) * F32_LANES;
    for (int64_t i = 0; i < g->count; i++) {
      place at = place_of(b->count, g->number + i);
      winograd_output(b->products + (at.tile * p->column_tiles + column) * MR * NR +
                          at.row * width + filter % NR,
                      p->products_values, lines + i * WINOGRAD_OUT * LINE_CHANNELS + v, OUT_LINE,
                      LINE_CHANNELS);
    }
  }
  float bias[LINE_CHANNELS] = {0};
  int has_bias = b->prepared->has_bias;
  if (has_bias)
    for (int i = 0; i < LINE_CHANNELS && channel + i < s->filters; i++)
      bias[i] = load_element(b->prepared->x.stored, b->buffers[2], channel + i);
  int64_t x = g->x * WINOGRAD_OUT, y = g->y * WINOGRAD_OUT;
  int count = (int)kernel_min(g->count * WINOGRAD_OUT, s->out_width - x);
  for (int i = 0; i < WINOGRAD_OUT && y + i < s->out_height; i++)
    BASE_NAME(lines_store)(&b->prepared->y, &b->prepared->after, b->buffers,
                           b->buffers[b->prepared->num_inputs], has_bias ? bias : NULL, g->batch,
                           channel, y + i, x, count, lines + i * OUT_LINE);
}

/* Calls `transform` for this thread's share of all (segment, group of 16 channels). */
static void each_segment(const block *b, int64_t channels,
                         void (*transform)(const block *, const segment *, int64_t)) {
  int64_t groups = divide_up(channels, LINE_CHANNELS), segments = 0, index = 0, begin, end;
  for (int64_t i = 0; i < b->count; i += segment_at(b, i).count) segments++;
  kernel_split(groups * segments, b->parts, b->part, &begin, &end);
  for (int64_t i = 0; i < b->count;) {
    segment g = segment_at(b, i);
    for (int64_t c = 0; c < groups; c++, index++)
      if (index >= begin && index < end) transform(b, &g, c * LINE_CHANNELS);
    i += g.count;
  }
}

/* ---- All blocks ------------------------------------------------------------- */

/* The tiles of block i, by which `parts` threads go through its three steps together. */
static void run_block(block *b, int64_t i) {
  const kp_prepared *prepared = b->prepared;
  const winograd_plan *p = &prepared->plan;
  int64_t last;
  kernel_split(p->tiles, p->blocks, i, &b->first, &last);
  b->count = last - b->first;
  each_segment(b, prepared->shape.channels, transform_input);
  if (b->parts > 1) {
#pragma omp barrier
  }
  multiply_points(b, b->buffers[1]);
  if (b->parts > 1) {
#pragma omp barrier
  }
  each_segment(b, prepared->shape.filters, transform_output);
  if (b->parts > 1) {
#pragma omp barrier
  }
}

typedef struct job {
  const kp_prepared *prepared;
  void *const *buffers;
  float *scratch;
} job;

static block thread_block(const job *j, float *points, int thread) {
  const winograd_plan *p = &j->prepared->plan;
  const int64_t blocks = p->shared ? 1 : p->threads;
  return (block){.prepared = j->prepared,
                 .buffers = j->buffers,
                 .points = points,
                 .products = points + WINOGRAD_POINTS * p->points_values,
                 .lines = j->scratch + blocks * p->block_values + thread * LINES_VALUES,
                 .parts = 1};
}

static void run_blocks(const void *context, int64_t begin, int64_t end, int thread) {
  const job *j = context;
  block b = thread_block(j, j->scratch + thread * j->prepared->plan.block_values, thread);
  for (int64_t i = begin; i < end; i++) run_block(&b, i);
}

static void run_shared(const job *j) {
  const winograd_plan *p = &j->prepared->plan;
#pragma omp parallel num_threads(p->threads)
  {
    block b = thread_block(j, j->scratch, omp_get_thread_num());
    b.part = omp_get_thread_num(), b.parts = omp_get_num_threads();
    for (int64_t i = 0; i < p->blocks; i++) run_block(&b, i);
  }
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  const winograd_plan *p = &prepared->plan;
  const job j = {prepared, buffers, scratch};
  if (p->shared)
    run_shared(&j);
  else
    parallel_for(p->threads, p->blocks, run_blocks, &j);
  return KP_OK;
}

/* ---- The kernel ------------------------------------------------------------- */

static int read_problem(const kp_problem *problem, storage stored, conv2d *s, image *x, image *y,
                        kp_answer *answer) {
  if (!conv2d_read(problem, stored, s, answer)) return 0;
  if (problem->precision == KP_HIGHEST)
    return kp_refuse(answer, KP_NO_PRECISION, "precision", "high"), 0;
  if (s->kernel_h != 3 || s->kernel_w != 3)
    return kp_refuse_number(answer, KP_NO_SHAPE, "w.shape", "3x3",
                            s->kernel_h != 3 ? s->kernel_h : s->kernel_w),
           0;
  if (s->stride_h != 1 || s->stride_w != 1)
    return kp_refuse_number(answer, KP_NO_ATTRIBUTE, "strides", "1",
                            s->stride_h != 1 ? s->stride_h : s->stride_w),
           0;
  if (s->dilation_h != 1 || s->dilation_w != 1)
    return kp_refuse_number(answer, KP_NO_ATTRIBUTE, "dilations", "1",
                            s->dilation_h != 1 ? s->dilation_h : s->dilation_w),
           0;
  if (s->groups != 1) return kp_refuse_number(answer, KP_NO_ATTRIBUTE, "groups", "1", s->groups), 0;
  if (!kp_is_constant(&problem->inputs[1]))
    return kp_refuse(answer, KP_NO_CONSTANT, "w", "constant"), 0;
  int x_block, y_block;
  if (!BASE_NAME(lines_layouts)(problem, &x_block, &y_block, answer)) return 0;
  *x = (image){stored, x_block, s->channels, s->height, s->width};
  *y = (image){stored, y_block, s->filters, s->out_height, s->out_width};
  return 1;
}

static double expected_seconds(const conv2d *s, const winograd_plan *p) {
  double tiles = (double)p->tiles,
         rows = tiles / (double)gemm_row_tiles(p->tiles + !p->tiles, A_CHUNKS);
  double columns = (double)(kernel_round_up(s->filters, F32_LANES));
  double multiply = 2.0 * WINOGRAD_POINTS * tiles * (double)s->channels * columns / RATE;
  if (rows < 4) multiply *= 4 / (rows + 0.1);
  double transforms =
      (double)(divide_up(s->channels, LINE_CHANNELS) + divide_up(s->filters, LINE_CHANNELS));
  double filters = (double)p->filters_values * 4;
  double reads = filters <= OWN_FILTER_BYTES ? 0 : filters / FILTER_RATE * (double)p->blocks;
  return OVERHEAD + 2 * kernel_team_seconds(p->threads) +
         (multiply + tiles * transforms * TRANSFORM_SECONDS) / p->threads + reads;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  conv2d s;
  image x, y;
  if (!read_problem(problem, *(const storage *)kernel->context, &s, &x, &y, answer)) return;
  winograd_plan p = make_plan(&s, problem->threads);
  answer->code = KP_YES;
  answer->scratch_bytes = (uint64_t)scratch_values(&p) * sizeof(float);
  if (answer->packed_bytes) answer->packed_bytes[1] = (uint64_t)p.filters_values * sizeof(float);
  answer->cost = expected_seconds(&s, &p);
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
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, stored, p->steps);
  *prepared = p;
  return KP_OK;
}

/* [point][tile of NR filters][channel][NR] */
static kp_status pack_constant(const kp_prepared *prepared, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)input, (void)error;
  const conv2d *s = &prepared->shape;
  int64_t point_values = gemm_packed_b_values(s->filters, s->channels);
  for (int64_t o = 0; o < prepared->plan.column_tiles * NR; o++)
    for (int64_t c = 0; c < s->channels; c++) {
      double g[9] = {0}, u[WINOGRAD_POINTS];
      for (int i = 0; i < 9 && o < s->filters; i++)
        g[i] = load_element(prepared->x.stored, source, (o * s->channels + c) * 9 + i);
      winograd_filter(g, u);
      float *at = (float *)destination + (o / NR * s->channels + c) * NR + o % NR;
      for (int i = 0; i < WINOGRAD_POINTS; i++) at[i * point_values] = (float)u[i];
    }
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define CONV2D(name, stored)                                                \
  {KERNEL(name),       .context = &(const storage){stored}, .query = query, \
   .prepare = prepare, .pack_constant = pack_constant,      .run = run,     \
   .release = release}

static const kp_kernel list[] = {
    CONV2D("portable.conv2d.winograd.f32", STORED_F32),
};
const kp_kernel_list LEVEL_NAME(conv2d_winograd_kernels) = KERNEL_LIST(list);
