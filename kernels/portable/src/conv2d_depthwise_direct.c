/*
 * Depthwise conv2d of nchw straight from the image: the pixels of a row in the lanes, several
 * output lines summed up from each vector that is loaded. Beside the image zeros are shifted in,
 * above and below it lies one line of zeros.
 */
#include <stdlib.h>

#include "conv2d_depthwise.h"
#include "parallel.h"

#define OVERHEAD 0.3e-6 /* seconds of a run without work */

/* Output lines and vectors that are summed up at once. */
#define LINES (LEVEL_REGISTERS == 32 ? 4 : 2)
#define VECTORS 2
#define SUM_BYTES (4 * 1024) /* that wait for what follows them, where that isn't in registers */
#define MAX_SIZE 7
#define MAX_ROWS ((LINES - 1) * 2 + MAX_SIZE)
#define UNROLL _Pragma("GCC unroll 49")

typedef struct {
  int64_t bands, band_lines; /* output lines that one thread works on at once */
  int64_t zero_values;       /* of the line of zeros */
  int64_t out_values; /* of a line of sums in scratch; 0 where they leave registers at once */
  int64_t sum_lines;  /* that there are at once */
  int64_t thread_values;
  int threads;
} direct_plan;

struct kp_prepared {
  conv2d shape;
  direct_plan plan;
  int has_bias;
  uint32_t num_inputs;
  epilogue after;
  epilogue_step steps[];
};

static int64_t whole_vectors(int64_t n) { return kernel_round_up(n, F32_LANES); }

static double expected_seconds(const conv2d *s) {
  double tiles = (double)((s->out_height + LINES - 1) / LINES);
  double vectors = (double)(whole_vectors(s->out_width) / F32_LANES);
  /* AVX2 takes three instructions to pick every second column of two vectors. */
  double every_second = F32_LANES == 8 ? 2.5 : 1.5;
  double taps = (double)conv2d_taps(s) * (s->stride_w == 2 ? every_second : 1.2);
  double plane = tiles * (LINES * vectors * (4 + taps) + 12) + 20;
  return (double)(s->batch * s->channels) * plane * (2.0 * F32_LANES / LEVEL_RATE);
}

static direct_plan make_plan(const conv2d *s, int in_registers, int threads) {
  direct_plan p = {.threads = kernel_threads(expected_seconds(s), threads)};
  /* Few planes are shared out by lines. */
  int64_t planes = kernel_max(s->batch * s->channels, 1), lines = kernel_max(s->out_height, 1);
  int64_t wanted = planes >= 8 * p.threads ? 1 : 8 * p.threads / planes;
  p.band_lines = p.threads == 1 ? lines : kernel_round_up((lines + wanted - 1) / wanted, LINES);
  p.bands = (lines + p.band_lines - 1) / p.band_lines;
  p.zero_values = whole_vectors(s->width);
  p.out_values = in_registers ? 0 : whole_vectors(s->out_width);
  if (p.out_values) {
    int64_t fit = SUM_BYTES / (int64_t)sizeof(float) / p.out_values / LINES * LINES;
    p.sum_lines = kernel_min(kernel_max(fit, LINES), kernel_round_up(p.band_lines, LINES));
  }
  p.thread_values = kernel_round_up(p.zero_values + p.sum_lines * p.out_values, KP_ALIGNMENT);
  return p;
}

/* ---- Columns -------------------------------------------------------------------- */

/* Where in its line a vector of output pixels lies. CUT is RIGHT where every second column is a
 * pixel's, and the last one is the image's last. */
typedef enum { INNER, LEFT, RIGHT, CUT, WHOLE } place;

/* What each tap of a line of the kernel sees: `from` is the image's column under the middle tap
 * of the first pixel, from which on the line has `columns` columns. */
LEVEL_INLINE void load_taps(place at, int size, int stride, const float *from, int columns,
                            f32v taps[MAX_SIZE]) {
  const int reach = size / 2;
  const int begins = at == LEFT || at == WHOLE, ends = at == RIGHT || at == CUT || at == WHOLE;
  const int wide = columns < F32_LANES ? columns : F32_LANES;
  if (stride == 1) {
    f32v here = at == WHOLE ? load_f32_first(from, wide) : load_f32(from);
    UNROLL for (int d = -reach; d <= reach; d++) taps[reach + d] =
        d == 0            ? here
        : d < 0 && begins ? shift_up_f32(here, -d)
        : d > 0 && ends   ? shift_down_f32(here, d)
                          : load_f32(from + d);
    return;
  }
  f32v even, odd, even_before, odd_before, even_after, odd_after;
  if (at == CUT || at == WHOLE) {
    const int rest = columns - wide < F32_LANES ? columns - wide : F32_LANES;
    f32v low = load_f32_first(from, wide), high = load_f32_first(from + wide, rest);
    even = even_f32(low, high), odd = odd_f32(low, high);
  } else {
    load_pairs_f32(from, &even, &odd);
  }
  if (ends)
    even_after = shift_down_f32(even, 1);
  else if (reach == 2)
    load_pairs_f32(from + 1, &odd_after, &even_after);
  if (begins) {
    even_before = shift_up_f32(even, 1), odd_before = shift_up_f32(odd, 1);
  } else {
    load_pairs_f32(from - 2, &even_before, &odd_before);
  }
  taps[reach - 1] = odd_before, taps[reach] = even, taps[reach + 1] = odd;
  if (reach == 2) taps[0] = even_before, taps[4] = even_after;
}

/* ---- Sums --------------------------------------------------------------------- */

typedef struct {
  const kp_prepared *prepared;
  void *const *buffers;
  float *scratch;
  float low, high; /* between which sums are clipped in registers */
} running;

/* Some output lines of a channel, and the image's lines that they see. */
typedef struct {
  const float *lines[MAX_ROWS];
  float *out;
  int64_t out_stride, width, out_width;
  int count; /* lines that are stored */
} strip;

/* LINES output lines of `vectors` vectors beside each other, from pixel `x` on. */
LEVEL_INLINE void sum_up(place at, int vectors, int size, int stride_h, int stride_w,
                         const strip *s, int64_t x, const f32v *weights, f32v bias, f32v low,
                         f32v high) {
  f32v sum[LINES][VECTORS], taps[MAX_SIZE];
  const int columns = at == CUT || at == WHOLE ? (int)(s->width - x * stride_w) : 2 * F32_LANES;
  UNROLL for (int o = 0; o < LINES; o++) {
    UNROLL for (int v = 0; v < vectors; v++) sum[o][v] = bias;
  }
  UNROLL for (int r = 0; r < (LINES - 1) * stride_h + size; r++) {
    LEVEL_KEEP_LOADS;
    UNROLL for (int v = 0; v < vectors; v++) {
      load_taps(at, size, stride_w, s->lines[r] + (x + v * F32_LANES) * stride_w, columns, taps);
      UNROLL for (int j = 0; j < size; j++) {
        UNROLL for (int o = 0; o < LINES; o++) {
          const int i = r - o * stride_h;
          if (i >= 0 && i < size) sum[o][v] = fma_f32(weights[i * size + j], taps[j], sum[o][v]);
        }
      }
    }
  }
  float *out = s->out + x;
  UNROLL for (int o = 0; o < LINES; o++, out += s->out_stride) {
    if (o >= s->count) break;
    UNROLL for (int v = 0; v < vectors; v++) {
      f32v y = min_f32(high, max_f32(low, sum[o][v]));
      if (at == WHOLE)
        store_f32_first(out, y, (int)s->out_width);
      else
        store_f32(out + v * F32_LANES, y);
    }
  }
}

/* The strip's whole lines; the last vectors overlap. */
LEVEL_INLINE void filter_strip(int size, int stride_h, int stride_w, const strip *s,
                               const f32v *weights, f32v bias, f32v low, f32v high) {
  const int64_t last = s->out_width - F32_LANES;
  const int64_t inner = last - (stride_w == 1 ? size / 2 : 1); /* the last that sees no edge */
  int64_t x = F32_LANES;
  if (last <= 0) {
    sum_up(WHOLE, 1, size, stride_h, stride_w, s, 0, weights, bias, low, high);
    return;
  }
  sum_up(LEFT, 1, size, stride_h, stride_w, s, 0, weights, bias, low, high);
  for (; x + F32_LANES <= inner; x += VECTORS * F32_LANES)
    sum_up(INNER, VECTORS, size, stride_h, stride_w, s, x, weights, bias, low, high);
  for (; x < last; x += F32_LANES)
    sum_up(INNER, 1, size, stride_h, stride_w, s, kernel_min(x, inner), weights, bias, low, high);
  if (stride_w == 2 && s->width % 2)
    sum_up(CUT, 1, size, stride_h, stride_w, s, last, weights, bias, low, high);
  else
    sum_up(RIGHT, 1, size, stride_h, stride_w, s, last, weights, bias, low, high);
}

/* Stores `count` lines of plane `number` from y on with all that follows the sums. */
static void finish_lines(const running *r, int64_t number, int64_t y, int64_t count, float *sums) {
  const kp_prepared *prepared = r->prepared;
  const int64_t width = prepared->shape.out_width, out_values = prepared->plan.out_values;
  epilogue_tile t = {
      .values = sums,
      .rows = (int)count,
      .columns = (int)width,
      .width = (int)out_values,
      .scale = 1,
      .output = r->buffers[prepared->num_inputs],
      .offset = number * conv2d_out_size(&prepared->shape) + y * width,
      .row_stride = width,
  };
  REAL_BASE_NAME(epilogue_store)(&prepared->after, r->buffers, &t);
}

/* Output lines [begin, end) of plane `number`. */
LEVEL_INLINE void filter_lines(int size, int stride_h, int stride_w, const running *r,
                               int64_t number, int64_t begin, int64_t end, float *zeros) {
  const kp_prepared *prepared = r->prepared;
  const conv2d *s = &prepared->shape;
  const direct_plan *p = &prepared->plan;
  const float *x = (const float *)r->buffers[0] + number * conv2d_in_size(s);
  const int64_t channel = number % s->channels, height = s->height;
  const uintptr_t line_bytes = (uintptr_t)s->width * sizeof *x;
  const float *w = (const float *)r->buffers[1] + channel * (size * size);
  const f32v low = broadcast_f32(r->low), high = broadcast_f32(r->high);
  const f32v bias = broadcast_f32(prepared->has_bias ? ((float *)r->buffers[2])[channel] : 0);
  float *output = (float *)r->buffers[prepared->num_inputs] + number * conv2d_out_size(s);
  float *sums = zeros + p->zero_values;
  f32v weights[MAX_SIZE * MAX_SIZE];
  UNROLL for (int i = 0; i < size * size; i++) weights[i] = broadcast_f32(w[i]);
  strip t = {.out_stride = p->out_values ? p->out_values : s->out_width,
             .width = s->width,
             .out_width = s->out_width};
  int64_t first = begin; /* of the lines whose sums are in scratch */
  for (int64_t y = begin; y < end; y += LINES) {
    int64_t line = y * stride_h - s->pad_top;
    /* A number: not all of these lines are in the image. */
    uintptr_t from = (uintptr_t)x + (uintptr_t)line * line_bytes;
    UNROLL for (int i = 0; i < (LINES - 1) * stride_h + size; i++, line++, from += line_bytes)
        t.lines[i] = line >= 0 && line < height ? (const float *)from : zeros;
    t.count = (int)kernel_min(LINES, end - y);
    t.out = p->out_values ? sums + (y - first) * p->out_values : output + y * s->out_width;
    filter_strip(size, stride_h, stride_w, &t, weights, bias, low, high);
    const int64_t next = kernel_min(y + LINES, end);
    if (!p->out_values || (next < end && next - first < p->sum_lines)) continue;
    finish_lines(r, number, first, next - first, sums);
    first = next;
  }
}

/* Bands [begin, end) of all planes. */
LEVEL_INLINE void filter_bands(int size, int stride_h, int stride_w, const running *r,
                               int64_t begin, int64_t end, float *zeros) {
  const direct_plan *p = &r->prepared->plan;
  for (int64_t i = begin; i < end; i++) {
    int64_t first = i % p->bands * p->band_lines;
    int64_t last = kernel_min(first + p->band_lines, r->prepared->shape.out_height);
    filter_lines(size, stride_h, stride_w, r, i / p->bands, first, last, zeros);
  }
}

typedef void filter_function(const running *r, int64_t begin, int64_t end, float *zeros);

#define FILTER(size, stride_h, stride_w)                                               \
  static void filter_##size##_##stride_h##_##stride_w(const running *r, int64_t begin, \
                                                      int64_t end, float *zeros) {     \
    filter_bands(size, stride_h, stride_w, r, begin, end, zeros);                      \
  }
FILTER(3, 1, 1)
FILTER(3, 1, 2)
FILTER(3, 2, 1)
FILTER(3, 2, 2)
FILTER(5, 1, 1)
FILTER(5, 1, 2)
FILTER(5, 2, 1)
FILTER(5, 2, 2)
FILTER(7, 1, 1)

static filter_function *const filters[3][2][2] = {
    {{filter_3_1_1, filter_3_1_2}, {filter_3_2_1, filter_3_2_2}},
    {{filter_5_1_1, filter_5_1_2}, {filter_5_2_1, filter_5_2_2}},
    {{filter_7_1_1}},
};

static void run_part(const void *context, int64_t begin, int64_t end, int thread) {
  const running *r = context;
  const conv2d *s = &r->prepared->shape;
  const direct_plan *p = &r->prepared->plan;
  float *zeros = r->scratch + thread * p->thread_values;
  memset(zeros, 0, (size_t)p->zero_values * sizeof *zeros);
  filters[s->kernel_h / 2 - 1][s->stride_h - 1][s->stride_w - 1](r, begin, end, zeros);
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

/* Does the last vector see nothing of the image's left edge, nor those between of any? */
static int has_places(const conv2d *s) {
  int64_t last = s->out_width - F32_LANES, reach = s->kernel_w / 2;
  if (s->stride_w == 2 || last <= 0) return 1;
  return last >= reach && (last <= F32_LANES || last >= 2 * reach);
}

static int check_shape(const conv2d *s, kp_answer *answer) {
  if (!depthwise_check_window(s, answer)) return 0;
  if (s->stride_h > 2 || (s->kernel_h == 7 && s->stride_h > 1))
    kp_refuse(answer, KP_NO_ATTRIBUTE, "strides", "1 or 2, 1 for 7x7");
  else if (!has_places(s))
    kp_refuse_number(answer, KP_NO_SHAPE, "x.shape[3]", "a line whose vectors see one edge at most",
                     s->width);
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
  direct_plan p = make_plan(&s, 0, problem->threads);
  answer->code = KP_YES;
  answer->scratch_bytes = (uint64_t)(p.threads * p.thread_values) * sizeof(float);
  double sums = (double)(s.batch * s.channels) * (double)conv2d_out_size(&s);
  double work = expected_seconds(&s) + epilogue_seconds(problem, STORED_F32, sums);
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
  p->num_inputs = problem->num_inputs;
  p->after = epilogue_read(problem, STORED_F32, p->steps);
  p->plan = make_plan(&p->shape, epilogue_is_clip(&p->after), problem->threads);
  *prepared = p;
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

static const kp_kernel list[] = {
    {KERNEL("portable.conv2d.depthwise_direct.f32"), .query = query, .prepare = prepare, .run = run,
     .release = release},
};
const kp_kernel_list LEVEL_NAME(conv2d_depthwise_direct_kernels) = KERNEL_LIST(list);
