/*
 * Depthwise conv2d of nchw with the pixels of a row in the lanes. A channel's lines are copied
 * with their padding, those columns side by side that a tap sees side by side; several output
 * lines are summed up from each vector that is loaded.
 */
#include <stdlib.h>

#include "conv2d_problem.h"
#include "parallel.h"

#define OVERHEAD 0.4e-6 /* seconds of a run without work */
#define BAND_BYTES (24 * 1024)

/* Output lines and vectors that are summed up at once: where the size is known, weights stay in
 * registers, too. */
#define LINES (LEVEL_REGISTERS == 32 ? 4 : 2)
#define MAX_LINES 4
#define VECTORS 2
#define UNROLL _Pragma("GCC unroll 25")

typedef struct {
  int64_t phase_pixels, line_values; /* a padded line: stride_w phases of columns */
  int64_t band_lines, bands;         /* output lines that are summed up from lines in scratch */
  int64_t in_lines;                  /* those lines */
  int64_t out_values;                /* of an output line: whole vectors */
  int64_t weights_values, thread_values;
  int threads;
} rows_plan;

struct kp_prepared {
  conv2d shape;
  rows_plan plan;
  storage stored;
  int has_bias, in_registers;
  uint32_t num_inputs;
  epilogue after;
  epilogue_step steps[];
};

static int64_t whole_vectors(int64_t n) { return kernel_round_up(n, F32_LANES); }

static double expected_seconds(const conv2d *s) {
  double lanes = F32_LANES, planes = (double)(s->batch * s->channels);
  double sums = (double)s->out_height * (double)whole_vectors(s->out_width) / lanes;
  double copied = (double)s->height * (double)whole_vectors(s->width) / lanes;
  double vectors = sums * (4 + 1.5 * (double)conv2d_taps(s)) + copied * 3 + 60;
  return planes * vectors * (2 * lanes / LEVEL_RATE);
}

static rows_plan make_plan(const conv2d *s, int threads) {
  int64_t reach = (s->kernel_h - 1) * s->dilation_h + 1;
  int64_t seen = (s->out_width - 1) * s->stride_w + (s->kernel_w - 1) * s->dilation_w + 1;
  int64_t pixels = kernel_max(seen, s->pad_left + s->width);
  rows_plan p = {.phase_pixels = (pixels + s->stride_w - 1) / s->stride_w + F32_LANES};
  p.line_values = whole_vectors(p.phase_pixels * s->stride_w);
  int64_t fit = (BAND_BYTES / (int64_t)sizeof(float) / p.line_values - reach) / s->stride_h + 1;
  p.band_lines = kernel_min(kernel_max(fit / LINES, 1) * LINES, kernel_max(s->out_height, 1));
  p.bands = (s->out_height + p.band_lines - 1) / p.band_lines;
  p.in_lines = (p.band_lines - 1) * s->stride_h + reach;
  p.out_values = whole_vectors(s->out_width);
  p.weights_values = whole_vectors(conv2d_taps(s));
  p.thread_values = kernel_round_up(
      p.in_lines * p.line_values + p.band_lines * p.out_values + p.weights_values, KP_ALIGNMENT);
  p.threads = kernel_threads(expected_seconds(s), threads);
  return p;
}

/* ---- Lines -------------------------------------------------------------------- */

/* Vectors of columns that lie side by side, or alternate between two phases. */
LEVEL_INLINE void copy_vectors(storage stored, int stride, const void *x, int64_t at, float *first,
                               float *second) {
  f32v low = load_stored(stored, x, at, F32_LANES);
  if (stride == 2) {
    f32v high = load_stored(stored, x, at + F32_LANES, F32_LANES);
    store_f32(second, odd_f32(low, high));
    low = even_f32(low, high);
  }
  store_f32(first, low);
}

/* The same of fewer columns than fill the vectors, and zeros, which are padding. */
LEVEL_INLINE void copy_narrow(storage stored, int stride, const void *x, int64_t at, int columns,
                              float *first, float *second) {
  f32v low = load_stored(stored, x, at, columns < F32_LANES ? columns : F32_LANES);
  if (stride == 2) {
    f32v high = {0};
    if (columns > F32_LANES) high = load_stored(stored, x, at + F32_LANES, columns - F32_LANES);
    store_f32(second, odd_f32(low, high));
    low = even_f32(low, high);
  }
  store_f32(first, low);
}

/* Image lines [y, end), whose first element is `at`; the padding stays as it is, and lines out of
 * the image become zero, unless they never were anything else. A padded column q is number
 * q / stride_w of phase q % stride_w. */
LEVEL_INLINE void copy_lines(storage stored, int stride, const conv2d *s, const rows_plan *p,
                             const void *x, int64_t at, int64_t y, int64_t end, float *line) {
  const int64_t width = s->width, left = s->pad_left, step = stride * F32_LANES;
  const int64_t line_values = p->line_values, last = (width - step) / stride * stride;
  float *first = line + left % stride * p->phase_pixels + left / stride;
  float *second = line + (left + 1) % stride * p->phase_pixels + (left + 1) / stride;
  for (; y < end; y++, at += width, line += line_values) {
    if (y < 0 || y >= s->height) {
      if (p->bands > 1) memset(line, 0, (size_t)line_values * sizeof *line);
    } else if (width < step) {
      copy_narrow(stored, stride, x, at, (int)width, first, second);
    } else {
      float *to = first, *other = second;
      for (int64_t i = 0; i < last; i += step, to += F32_LANES, other += F32_LANES)
        copy_vectors(stored, stride, x, at + i, to, other);
      copy_vectors(stored, stride, x, at + last, first + last / stride, second + last / stride);
      for (int64_t i = last + step; i < width; i++) /* an odd one */
        first[i / stride] = load_element(stored, x, at + i);
    }
    first += line_values, second += line_values;
  }
}

/* The same for strides that are larger. */
LEVEL_INLINE void copy_elements(storage stored, const conv2d *s, const rows_plan *p, const void *x,
                                int64_t at, int64_t y, int64_t end, float *line) {
  for (; y < end; y++, at += s->width, line += p->line_values)
    for (int64_t i = 0; i < s->width; i++) {
      int64_t q = s->pad_left + i;
      line[q % s->stride_w * p->phase_pixels + q / s->stride_w] =
          y < 0 || y >= s->height ? 0 : load_element(stored, x, at + i);
    }
}

/* ---- Sums --------------------------------------------------------------------- */

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  float *scratch;
  float low, high; /* between which sums are clipped in registers */
} running;

/* One channel's. */
typedef struct {
  const float *weights;
  float bias;
  int64_t width, out_stride;         /* of the output */
  int64_t line_values, phase_pixels; /* of the plan */
} plane;

/* Output lines [0, lines) of F32_LANES pixels from each of `x` on. */
LEVEL_INLINE void sum_up(int lines, int vectors, int size, int stride, int64_t line_values,
                         int64_t phase_pixels, const f32v *weights, f32v bias, const float *in,
                         const int64_t x[VECTORS], f32v sum[MAX_LINES][VECTORS]) {
  UNROLL for (int o = 0; o < lines; o++) {
    UNROLL for (int v = 0; v < vectors; v++) sum[o][v] = bias;
  }
  UNROLL for (int r = 0; r < (lines - 1) * stride + size; r++, in += line_values) {
    LEVEL_KEEP_LOADS;
    UNROLL for (int j = 0; j < size; j++) {
      UNROLL for (int v = 0; v < vectors; v++) {
        f32v pixel = load_f32(in + j % stride * phase_pixels + j / stride + x[v]);
        UNROLL for (int o = 0; o < lines; o++) {
          const int i = r - o * stride;
          if (i >= 0 && i < size) sum[o][v] = fma_f32(weights[i * size + j], pixel, sum[o][v]);
        }
      }
    }
  }
}

/* The same for any kernel. */
LEVEL_INLINE void sum_up_any(int lines, int vectors, const conv2d *s, const plane *c, f32v bias,
                             const float *in, const int64_t x[VECTORS],
                             f32v sum[MAX_LINES][VECTORS]) {
  const int64_t columns = s->dilation_w / s->stride_w, phases = s->dilation_w % s->stride_w;
  const int64_t step = s->stride_h * c->line_values;
  const float *w = c->weights;
  UNROLL for (int o = 0; o < lines; o++) {
    UNROLL for (int v = 0; v < vectors; v++) sum[o][v] = bias;
  }
  for (int64_t i = 0; i < s->kernel_h; i++, in += s->dilation_h * c->line_values) {
    const float *tap = in;
    int64_t phase = 0;
    for (int64_t j = 0; j < s->kernel_w; j++) {
      const f32v weight = broadcast_f32(*w++);
      UNROLL for (int o = 0; o < lines; o++) {
        UNROLL for (int v = 0; v < vectors; v++) sum[o][v] =
            fma_f32(weight, load_f32(tap + o * step + x[v]), sum[o][v]);
      }
      tap += phases * c->phase_pixels + columns;
      phase += phases;
      if (phase < s->stride_w) continue;
      tap += 1 - s->stride_w * c->phase_pixels;
      phase -= s->stride_w;
    }
  }
}

LEVEL_INLINE void store_sums(int lines, int vectors, f32v low, f32v high, int64_t out_stride,
                             float *out, const int64_t x[VECTORS], f32v sum[MAX_LINES][VECTORS]) {
  UNROLL for (int o = 0; o < lines; o++, out += out_stride) {
    UNROLL for (int v = 0; v < vectors; v++)
        store_f32(out + x[v], min_f32(high, max_f32(low, sum[o][v])));
  }
}

/* The same of lines that are less than a vector. */
LEVEL_INLINE void store_narrow(int lines, f32v low, f32v high, int64_t out_stride, int width,
                               float *out, f32v sum[MAX_LINES][VECTORS]) {
  UNROLL for (int o = 0; o < lines; o++, out += out_stride)
      store_f32_first(out, min_f32(high, max_f32(low, sum[o][0])), width);
}

typedef struct {
  const conv2d *shape;
  const plane *plane;
  const f32v *weights; /* where the size is known */
  f32v bias, low, high;
} filtering;

/* `lines` lines of one or two vectors each; a size of 0 is any. */
LEVEL_INLINE void filter_vectors(int lines, int vectors, int size, int stride, const filtering *f,
                                 const float *in, float *out, const int64_t x[VECTORS]) {
  const plane *c = f->plane;
  f32v sum[MAX_LINES][VECTORS];
  if (size > 0)
    sum_up(lines, vectors, size, stride, c->line_values, c->phase_pixels, f->weights, f->bias, in,
           x, sum);
  else
    sum_up_any(lines, vectors, f->shape, c, f->bias, in, x, sum);
  if (c->width >= F32_LANES)
    store_sums(lines, vectors, f->low, f->high, c->out_stride, out, x, sum);
  else
    store_narrow(lines, f->low, f->high, c->out_stride, (int)c->width, out, sum);
}

/* Vectors of some lines, of which the last overlap. */
LEVEL_INLINE void filter_lines(int lines, int size, int stride, const filtering *f, const float *in,
                               float *out) {
  const int64_t last = kernel_max(f->plane->width - F32_LANES, 0);
  int64_t x[VECTORS] = {0};
  for (; x[0] < last; x[0] += 2 * F32_LANES) {
    x[1] = kernel_min(x[0] + F32_LANES, last);
    filter_vectors(lines, VECTORS, size, stride, f, in, out, x);
    if (x[1] == last) return;
  }
  x[0] = last;
  filter_vectors(lines, 1, size, stride, f, in, out, x);
}

/* `lines` output lines, `together` of them at once; the last of these overlap. */
LEVEL_INLINE void filter_plane(int together, int size, int stride, const running *r, const plane *c,
                               int64_t lines, const float *in, float *out) {
  const conv2d *s = &r->prepared->shape;
  const int64_t step = s->stride_h * c->line_values;
  f32v weights[25];
  UNROLL for (int i = 0; i < size * size; i++) weights[i] = broadcast_f32(c->weights[i]);
  const filtering f = {.shape = s,
                       .plane = c,
                       .weights = weights,
                       .bias = broadcast_f32(c->bias),
                       .low = broadcast_f32(r->low),
                       .high = broadcast_f32(r->high)};
  int64_t y = 0;
  for (; lines < together && y < lines; y++)
    filter_lines(1, size, stride, &f, in + y * step, out + y * c->out_stride);
  for (; y < lines; y = y + together < lines ? kernel_min(y + together, lines - together) : lines)
    filter_lines(together, size, stride, &f, in + y * step, out + y * c->out_stride);
}

static void filter(const running *r, const plane *c, int64_t lines, const float *in, float *out) {
  const conv2d *s = &r->prepared->shape;
  int is_square = s->kernel_h == s->kernel_w && s->stride_h == s->stride_w;
  int is_dense = s->dilation_h == 1 && s->dilation_w == 1;
  int64_t size = is_square && is_dense ? s->kernel_h : 0, stride = s->stride_w;
  if (size == 3 && stride == 1)
    filter_plane(LINES, 3, 1, r, c, lines, in, out);
  else if (size == 3 && stride == 2)
    filter_plane(LINES, 3, 2, r, c, lines, in, out);
  else if (size == 5 && stride == 1)
    filter_plane(LINES, 5, 1, r, c, lines, in, out);
  else if (size == 5 && stride == 2)
    filter_plane(LINES, 5, 2, r, c, lines, in, out);
  else
    filter_plane(MAX_LINES, 0, 0, r, c, lines, in, out);
}

/* ---- Bands of planes ------------------------------------------------------------ */

static void load_lines(const running *r, int64_t number, int64_t first, int64_t count,
                       float *lines) {
  const conv2d *s = &r->prepared->shape;
  const rows_plan *p = &r->prepared->plan;
  const storage stored = r->prepared->stored;
  int64_t at = number * conv2d_in_size(s) + first * s->width, end = first + count;
  if (s->stride_w == 1)
    FOR_STORAGE(stored, copy_lines, 1, s, p, r->buffers[0], at, first, end, lines);
  else if (s->stride_w == 2)
    FOR_STORAGE(stored, copy_lines, 2, s, p, r->buffers[0], at, first, end, lines);
  else
    FOR_STORAGE(stored, copy_elements, s, p, r->buffers[0], at, first, end, lines);
}

/* The taps of channel `channel`, and its bias. */
static void load_weights(const running *r, int64_t channel, float *room, plane *c) {
  const kp_prepared *prepared = r->prepared;
  const int64_t taps = conv2d_taps(&prepared->shape);
  c->weights = (const float *)r->buffers[1] + channel * taps;
  if (prepared->stored != STORED_F32) {
    for (int64_t i = 0; i < taps; i++)
      room[i] = load_element(prepared->stored, r->buffers[1], channel * taps + i);
    c->weights = room;
  }
  c->bias = prepared->has_bias ? load_element(prepared->stored, r->buffers[2], channel) : 0;
}

static void filter_band(const running *r, int64_t number, int64_t band, float *scratch) {
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  const rows_plan *p = &prepared->plan;
  float *sums = scratch + p->in_lines * p->line_values;
  void *output = r->buffers[prepared->num_inputs];
  int64_t begin = band * p->band_lines, end = kernel_min(begin + p->band_lines, s->out_height);
  int64_t lines = (end - begin - 1) * s->stride_h + (s->kernel_h - 1) * s->dilation_h + 1;
  int64_t offset = number * conv2d_out_size(s) + begin * s->out_width;
  plane c = {.width = s->out_width,
             .out_stride = prepared->in_registers ? s->out_width : p->out_values,
             .line_values = p->line_values,
             .phase_pixels = p->phase_pixels};
  load_weights(r, number % s->channels, sums + p->band_lines * p->out_values, &c);
  load_lines(r, number, begin * s->stride_h - s->pad_top, lines, scratch);
  filter(r, &c, end - begin, scratch, prepared->in_registers ? (float *)output + offset : sums);
  if (prepared->in_registers) return;
  epilogue_tile t = {
      .values = sums,
      .rows = (int)(end - begin),
      .columns = (int)s->out_width,
      .width = (int)p->out_values,
      .scale = 1,
      .output = output,
      .offset = offset,
      .row_stride = s->out_width,
  };
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

static void run_part(const void *context, int64_t begin, int64_t end, int thread) {
  const running *r = context;
  const rows_plan *p = &r->prepared->plan;
  float *scratch = r->scratch + thread * p->thread_values;
  memset(scratch, 0, (size_t)(p->in_lines * p->line_values) * sizeof *scratch);
  for (int64_t i = begin; i < end; i++) filter_band(r, i / p->bands, i % p->bands, scratch);
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)queue;
  const conv2d *s = &prepared->shape;
  if (conv2d_out_size(s) == 0) return KP_OK;
  running r = {.prepared = prepared, .buffers = buffers, .scratch = scratch};
  epilogue_bounds(&prepared->after, &r.low, &r.high);
  parallel_for(prepared->plan.threads, s->batch * s->channels * prepared->plan.bands, run_part, &r);
  return KP_OK;
}

/* ---- The kernel ----------------------------------------------------------------- */

static int read_problem(const kp_problem *problem, storage stored, conv2d *s, kp_answer *answer) {
  if (!conv2d_read(problem, stored, s, answer)) return 0;
  if (s->group_channels != 1 || s->group_filters != 1)
    return kp_refuse_number(answer, KP_NO_ATTRIBUTE, "groups", "x's and w's channels", s->groups),
           0;
  return conv2d_layouts(problem, "nchw", answer);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  conv2d s;
  if (!read_problem(problem, *(const storage *)kernel->context, &s, answer)) return;
  rows_plan p = make_plan(&s, problem->threads);
  answer->code = KP_YES;
  answer->scratch_bytes = (uint64_t)(p.threads * p.thread_values) * sizeof(float);
  double sums = (double)(s.batch * s.channels) * (double)conv2d_out_size(&s);
  double work =
      expected_seconds(&s) + epilogue_seconds(problem, *(const storage *)kernel->context, sums);
  answer->cost = OVERHEAD + kernel_team_seconds(p.threads) + work / p.threads;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  p->stored = *(const storage *)kernel->context;
  read_problem(problem, p->stored, &p->shape, &ignored);
  p->plan = make_plan(&p->shape, problem->threads);
  p->has_bias = conv2d_has_bias(problem);
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, p->stored, p->steps);
  p->in_registers = epilogue_is_clip(&p->after);
  *prepared = p;
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define CONV2D(name, stored)                            \
  {KERNEL(name),   .context = &(const storage){stored}, \
   .query = query, .prepare = prepare,                  \
   .run = run,     .release = release}

static const kp_kernel list[] = {
    CONV2D("portable.conv2d.depthwise_rows.f32", STORED_F32),
    CONV2D("portable.conv2d.depthwise_rows.bf16", STORED_BF16),
    CONV2D("portable.conv2d.depthwise_rows.f16", STORED_F16),
};
const kp_kernel_list LEVEL_NAME(conv2d_depthwise_rows_kernels) = KERNEL_LIST(list);
