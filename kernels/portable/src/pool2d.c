/* Maxima and averages over windows of images, and over whole images. */
#include "parallel.h"
#include "pool2d.h"
#include "wide.h"
#include "widen.h"

static const element element_real = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};

/* The additions and products that a value may go through as a float: an average is held to 32
 * roundings. Doubles have no such limit. */
enum { ROUNDINGS = REAL_BITS == 64 ? INT32_MAX : 32 };

/* ---- What is known before any run ------------------------------------------ */

static int is_whole(const kp_prepared *p) {
  return p->out_height == 1 && p->out_width == 1 && p->kernel[0] == p->height &&
         p->kernel[1] == p->width && !p->pad[0] && !p->pad[1];
}

/* Rows of windows over planes that are worked on at once: few enough for a core's first cache. */
static int64_t rows_at_once(const kp_prepared *p) {
  const int64_t fit = 16384 / (int64_t)sizeof(real) / p->row, all = p->images * p->out_height;
  return kernel_max(1, kernel_min(fit, all));
}

/* A thread's scratch: those rows' lines, combined, and whole vectors for windows that begin at the
 * last pixels. */
static int64_t scratch_values(const kp_prepared *p) {
  return rows_at_once(p) * p->row + 2 * (int64_t)REAL_LANES;
}
static int64_t scratch_bytes(const kp_prepared *p) {
  return kernel_round_up(scratch_values(p) * (int64_t)sizeof(real), KP_ALIGNMENT);
}

/* Lines of factors: one for each number of counted rows. */
static int64_t factor_lines(const kp_prepared *p) {
  return kernel_min(p->kernel[0], p->out_height);
}

static pool_span span_of(const kp_prepared *p, int axis, int64_t index) {
  const int64_t extent = axis ? p->width : p->height, dilation = p->dilation[axis];
  const int64_t before = p->count_pads ? p->pad[axis] : 0;
  const int64_t after = p->count_pads ? p->pad[axis + 2] : 0;
  const int64_t start = index * p->stride[axis] - p->pad[axis];
  int64_t first, last, counted_first, counted_last;
  pool_inside(start, p->kernel[axis], dilation, extent, &first, &last);
  pool_inside(start + before, p->kernel[axis], dilation, extent + before + after, &counted_first,
              &counted_last);
  return (pool_span){start + first * dilation, last - first, counted_last - counted_first, 0};
}

static void describe_spans(kp_prepared *p, pool_span *rows, pool_span *columns, real *factors) {
  int64_t lines = 0;
  for (int64_t ow = 0; ow < p->out_width; ow++) columns[ow] = span_of(p, 1, ow);
  for (int64_t oh = 0; oh < p->out_height; oh++) {
    rows[oh] = span_of(p, 0, oh);
    int64_t same = oh;
    while (--same >= 0 && rows[same].counted != rows[oh].counted) continue;
    rows[oh].factors = same >= 0 ? rows[same].factors : lines++;
    real *line = factors + rows[oh].factors * p->out_width;
    for (int64_t ow = 0; same < 0 && ow < p->out_width; ow++)
      line[ow] = (real)(1 / ((double)rows[oh].counted * (double)columns[ow].counted));
  }
  p->row_spans = rows, p->column_spans = columns, p->factors = factors;
}

/* As measured: of each plane, of each row of windows and its vectors, of each window's taps. */
static double pool_work(const kp_problem *problem, const kp_prepared *p) {
  const double rows = (double)p->images * (double)p->out_height;
  const double across = (double)(p->kernel[0] + p->kernel[1]);
  const double taps = (double)p->kernel[0] * (double)p->kernel[1];
  const double vectors = (double)((p->out_width + REAL_LANES - 1) / REAL_LANES);
  const double groups = (double)((p->channels + REAL_LANES - 1) / REAL_LANES);
  const double seconds = p->channels > 1
                             ? rows * (double)p->out_width * groups * (1e-9 + 0.3e-9 * taps)
                         : is_whole(p) ? rows * 5e-9
                                       : rows * (4e-9 + 0.35e-9 * vectors * across);
  return work_seconds(problem_bytes(problem), seconds);
}

static void pool_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                       kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &element_real) ||
      refuse_layouts(problem, answer, LAYOUT_ALL))
    return;
  kp_prepared p;
  pool_describe(problem, kernel->context, answer->layouts[0], &p);
  if (p.channels == 1 && !is_whole(&p))
    answer->scratch_bytes = (uint64_t)(scratch_bytes(&p) * problem->threads);
  answer_yes(problem, answer, pool_work(problem, &p));
}

static kp_status pool_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                              const void *const *constants, kp_prepared **prepared,
                              kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared p;
  pool_describe(problem, kernel->context, problem->inputs[0].layout, &p);
  p.threads = kernel_threads(pool_work(problem, &p), problem->threads);
  p.padding = padding_of(&problem->outputs[0]);
  if (p.channels != 1 && is_whole(&p)) { /* pixels in a row */
    p.kernel[1] = p.width *= p.height;
    p.kernel[0] = p.height = 1;
  }
  const size_t spans = (size_t)(p.out_height + p.out_width);
  const size_t factors = (size_t)(factor_lines(&p) * p.out_width);
  kp_prepared *made = calloc(1, sizeof p + spans * sizeof(pool_span) + factors * sizeof(real));
  if (!made) return refuse_memory(error);
  *made = p;
  pool_span *rows = (pool_span *)(made + 1), *columns = rows + p.out_height;
  describe_spans(made, rows, columns, (real *)(columns + p.out_width));
  *prepared = made;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const real *x;
  real *y;
  char *scratch;
} pool_job;

/* A vector where `lanes` is a constant that says so, else its first lanes. */
#define IS_WHOLE(lanes) (__builtin_constant_p(lanes) && (lanes) == (int)REAL_LANES)
LEVEL_INLINE realv load_lanes(const real *x, int lanes) {
  return IS_WHOLE(lanes) ? load_real(x) : load_real_first(x, lanes);
}
LEVEL_INLINE void store_lanes(real *y, realv v, int lanes) {
  if (IS_WHOLE(lanes))
    store_real(y, v);
  else
    store_real_first(y, v, lanes);
}

/* One more tap. What was loaded comes first. */
LEVEL_INLINE realv take(int is_max, realv tap, realv before) {
  return is_max ? maximum_real(tap, before) : before + tap;
}
LEVEL_INLINE realv nothing(int is_max) { return broadcast_real(is_max ? -(real)INFINITY : 0); }

/* ---- Channels that lie together: vectors of them -------------------------- */

/* A row of windows, and the channels of it that are one piece of work. */
typedef struct {
  const kp_prepared *p;
  const real *line; /* of the first tap inside the image: its first pixel */
  const real *factors;
  real *y;
  int64_t channels;
  int64_t taps, counted;         /* of each window's columns */
  int64_t row_step, column_step; /* values */
} window_row;

static const real *origin_of(const window_row *r, int64_t ow) {
  return r->line + r->p->column_spans[ow].from * r->p->channels;
}

/* Averages in doubles: of what is too large for floats, too. */
static void average_widely(const window_row *r) {
  real *y = r->y;
  for (int64_t ow = 0; ow < r->p->out_width; ow++, y += r->p->channels) {
    const pool_span column = r->p->column_spans[ow];
    const real *origin = origin_of(r, ow);
    for (int64_t c = 0; c < r->channels; c++) {
      double sum = 0;
      for (int64_t i = 0; i < r->taps; i++)
        for (int64_t j = 0; j < column.taps; j++)
          sum += origin[c + i * r->row_step + j * r->column_step];
      y[c] = (real)(sum / (double)(r->counted * column.counted));
    }
  }
}

/* All taps of a window of this size, of `vectors` of channels or `lanes` of one. */
LEVEL_INLINE void combine_taps(int is_max, const window_row *r, const real *from, int64_t rows,
                               int64_t columns, int vectors, int lanes, realv *all) {
  for (int v = 0; v < vectors; v++) all[v] = nothing(is_max);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) {
      const real *tap = from + i * r->row_step + j * r->column_step;
      for (int v = 0; v < vectors; v++) {
        const realv x = load_lanes(tap + v * (int)REAL_LANES, lanes);
        all[v] = take(is_max, x, all[v]);
      }
    }
}

/* Returns a NaN where an average isn't finite. */
LEVEL_INLINE realv pool_lanes(int is_max, const window_row *r, const real *from, int64_t rows,
                              int64_t columns, realv factor, real *y, int vectors, int lanes) {
  realv all[4], watched = {0};
  combine_taps(is_max, r, from, rows, columns, vectors, lanes, all);
  for (int v = 0; v < vectors; v++) {
    if (!is_max) {
      watched = watch(watched, all[v]);
      all[v] *= factor;
    }
    store_lanes(y + v * (int)REAL_LANES, all[v], lanes);
  }
  return watched;
}

/* Windows [begin, end) of a row, which have as many taps. */
LEVEL_INLINE realv pool_windows(int is_max, const window_row *r, int64_t begin, int64_t end,
                                int64_t rows, int64_t columns) {
  const int whole = REAL_LANES;
  const int64_t channels = r->channels;
  realv watched = {0};
  for (int64_t ow = begin; ow < end; ow++) {
    const real *from = origin_of(r, ow);
    const realv factor = broadcast_real(r->factors[ow]);
    real *y = r->y + ow * r->p->channels;
    int64_t c = 0;
    for (; c + 4 * whole <= channels; c += 4 * whole)
      watched += pool_lanes(is_max, r, from + c, rows, columns, factor, y + c, 4, whole);
    for (; c + whole <= channels; c += whole)
      watched += pool_lanes(is_max, r, from + c, rows, columns, factor, y + c, 1, whole);
    if (c < channels)
      watched +=
          pool_lanes(is_max, r, from + c, rows, columns, factor, y + c, 1, (int)(channels - c));
  }
  return watched;
}

/* Those at the image's edges one by one. */
LEVEL_INLINE realv pool_row(int is_max, const window_row *r) {
  const kp_prepared *p = r->p;
  const int64_t begin = kernel_min(p->inner_begin, p->out_width);
  const int64_t end = kernel_max(begin, kernel_min(p->inner_end, p->out_width));
  realv watched;
  if (r->taps == 3 && p->kernel[1] == 3)
    watched = pool_windows(is_max, r, begin, end, 3, 3);
  else if (r->taps == 2 && p->kernel[1] == 2)
    watched = pool_windows(is_max, r, begin, end, 2, 2);
  else
    watched = pool_windows(is_max, r, begin, end, r->taps, p->kernel[1]);
  for (int64_t ow = 0; ow < p->out_width; ow++) {
    if (ow == begin) ow = end;
    if (ow == p->out_width) break;
    watched += pool_windows(is_max, r, ow, ow + 1, r->taps, p->column_spans[ow].taps);
  }
  return watched;
}

/* A window of many taps: runs of them are added up in doubles. */
LEVEL_INLINE realv average_runs(const window_row *r, const real *from, int64_t columns,
                                double count, real *y, int vectors, int lanes) {
  f64v low[4] = {{0}}, high[4] = {{0}};
  realv watched = {0}, sums[4];
  real part[REAL_LANES];
  for (int64_t i = 0; i < r->taps; i++)
    for (int64_t j = 0; j < columns; j += RUN_STEPS) {
      combine_taps(0, r, from + i * r->row_step + j * r->column_step, 1,
                   kernel_min(RUN_STEPS, columns - j), vectors, lanes, sums);
      for (int v = 0; v < vectors; v++) {
        watched = watch(watched, sums[v]);
        store_real(part, sums[v]);
        low[v] += load_wide(part);
        high[v] += load_wide(part + REAL_LANES - F64_LANES);
      }
    }
  for (int v = 0; v < vectors; v++) {
    store_wide(part, low[v] / count);
    store_wide(part + REAL_LANES - F64_LANES, high[v] / count);
    store_real_first(y + v * (int)REAL_LANES, load_real(part), lanes);
  }
  return watched;
}

static realv average_row_by_runs(const window_row *r) {
  const int whole = REAL_LANES;
  realv watched = {0};
  for (int64_t ow = 0; ow < r->p->out_width; ow++) {
    const pool_span column = r->p->column_spans[ow];
    const double count = (double)(r->counted * column.counted);
    const real *from = origin_of(r, ow);
    real *y = r->y + ow * r->p->channels;
    int64_t c = 0;
    for (; c + 4 * whole <= r->channels; c += 4 * whole)
      watched += average_runs(r, from + c, column.taps, count, y + c, 4, whole);
    for (; c < r->channels; c += whole)
      watched += average_runs(r, from + c, column.taps, count, y + c, 1,
                              (int)kernel_min(whole, r->channels - c));
  }
  return watched;
}

enum { GROUP = 64 }; /* channels that are one piece of work */

static int64_t channel_groups(const kp_prepared *p) { return (p->channels + GROUP - 1) / GROUP; }

static void pool_channels(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const pool_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t groups = channel_groups(p);
  const int has_runs = p->kernel[0] * p->kernel[1] >= ROUNDINGS;
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = i % groups * GROUP, oh = i / groups % p->out_height;
    const int64_t image = i / groups / p->out_height;
    const pool_span span = p->row_spans[oh];
    const window_row row = {
        .p = p,
        .line = job->x + (image * p->height + span.from) * p->width * p->channels + first,
        .factors = (const real *)p->factors + span.factors * p->out_width,
        .y = job->y + (image * p->out_height + oh) * p->out_width * p->channels + first,
        .channels = kernel_min(GROUP, p->channels - first),
        .taps = span.taps,
        .counted = span.counted,
        .row_step = p->dilation[0] * p->width * p->channels,
        .column_step = p->dilation[1] * p->channels};
    if (p->is_max)
      pool_row(1, &row);
    else if (saw_infinity(has_runs ? average_row_by_runs(&row) : pool_row(0, &row)))
      average_widely(&row);
  }
}

/* ---- Planes: rows of windows ------------------------------------------------ */

/* Combines a vector, or its first lanes, of `lines` lines of an image, at least one, `step` apart.
 */
LEVEL_INLINE void combine_lines_at(int is_max, const real *x, int64_t lines, int64_t step,
                                   int lanes, real *row) {
  realv all = load_lanes(x, lanes);
  for (int64_t k = 1; k < lines; k++) all = take(is_max, load_lanes(x + k * step, lanes), all);
  store_lanes(row, all, lanes);
}

/* The last vector of a line overlaps the one before it. */
LEVEL_INLINE void combine_lines(int is_max, const real *x, int64_t lines, int64_t step,
                                int64_t width, real *row) {
  const int all = REAL_LANES;
  const int64_t last = width - all;
  for (int64_t i = 0; i <= last; i += all)
    combine_lines_at(is_max, x + i, lines, step, all, row + i);
  if (last < 0)
    combine_lines_at(is_max, x, lines, step, (int)width, row);
  else if (width % all)
    combine_lines_at(is_max, x + last, lines, step, all, row + last);
}

LEVEL_INLINE void combine_rows(int is_max, const kp_prepared *p, const real *x, int64_t first,
                               int64_t rows, real *row) {
  const int64_t width = p->width, plane = p->height * width, step = p->dilation[0] * width;
  const int64_t height = p->out_height, pitch = p->row;
  const pool_span *spans = p->row_spans;
  int64_t oh = first % height;
  x += first / height * plane;
  row += p->pad[1];
  for (int64_t k = 0; k < rows; k++, row += pitch) {
    const pool_span span = spans[oh];
    const real *from = x + span.from * width;
    if (span.taps == 3)
      combine_lines(is_max, from, 3, step, width, row);
    else if (span.taps == 2)
      combine_lines(is_max, from, 2, step, width, row);
    else if (span.taps)
      combine_lines(is_max, from, span.taps, step, width, row);
    else /* all of them miss the image: they are further apart than it is high */
      for (int64_t i = 0; i < width; i++) row[i] = nothing(is_max)[0];
    if (++oh < height) continue;
    oh = 0;
    x += plane;
  }
}

/* Of `columns` taps, `step` apart, of as many windows as a vector has lanes. */
LEVEL_INLINE realv combine_columns(int is_max, const real *from, int64_t columns, int64_t step,
                                   int stride) {
  realv all = nothing(is_max);
  for (int64_t k = 0; k < columns; k++) {
    const real *tap = from + k * step;
    const realv v =
        stride == 2 ? even_real(load_real(tap), load_real(tap + REAL_LANES)) : load_real(tap);
    all = k ? take(is_max, v, all) : v;
  }
  return all;
}

/* Windows of a vector, or its first lanes. Returns a NaN where an average isn't finite. */
LEVEL_INLINE realv finish_at(int is_max, const real *row, int64_t columns, int64_t step, int stride,
                             const real *factors, int lanes, real *y) {
  const realv all = combine_columns(is_max, row, columns, step, stride);
  store_lanes(y, is_max ? all : all * load_lanes(factors, lanes), lanes);
  return is_max ? (realv){0} : watch((realv){0}, all);
}

/* Rows from `first` on, whose lines are combined. Returns a NaN where an average isn't finite. */
LEVEL_INLINE realv finish_rows(int is_max, const kp_prepared *p, const real *row, real *y,
                               int64_t first, int64_t rows, int64_t columns, int stride) {
  const int all = REAL_LANES;
  const int64_t step = p->dilation[1], width = p->out_width, last = width - all;
  const int64_t height = p->out_height, pitch = p->row;
  const pool_span *spans = p->row_spans;
  const real *factors = p->factors;
  int64_t oh = first % height;
  realv watched = {0};
  for (int64_t k = 0; k < rows; k++, row += pitch, y += width) {
    const real *by = factors + spans[oh].factors * width;
    for (int64_t i = 0; i <= last; i += all)
      watched += finish_at(is_max, row + i * stride, columns, step, stride, by + i, all, y + i);
    if (last < 0)
      watched += finish_at(is_max, row, columns, step, stride, by, (int)width, y);
    else if (width % all)
      watched +=
          finish_at(is_max, row + last * stride, columns, step, stride, by + last, all, y + last);
    if (++oh == height) oh = 0;
  }
  return watched;
}

/* The same for any stride, window by window. */
LEVEL_INLINE realv finish_rows_singly(int is_max, const kp_prepared *p, const real *row, real *y,
                                      int64_t first, int64_t rows) {
  realv watched = {0};
  for (int64_t k = 0; k < rows; k++, row += p->row) {
    const pool_span span = p->row_spans[(first + k) % p->out_height];
    const real *factors = (const real *)p->factors + span.factors * p->out_width;
    for (int64_t i = 0; i < p->out_width; i++) {
      const real *tap = row + i * p->stride[1];
      real all = *tap;
      for (int64_t c = 1; c < p->kernel[1]; c++) {
        tap += p->dilation[1];
        all = !is_max ? all + *tap : all > *tap || all != all ? all : *tap;
      }
      if (!is_max) {
        watched[0] += all * 0;
        all *= factors[i];
      }
      *y++ = all;
    }
  }
  return watched;
}

LEVEL_INLINE realv finish_rows_of(int is_max, const kp_prepared *p, const real *row, real *y,
                                  int64_t first, int64_t rows) {
  const int64_t columns = p->kernel[1];
  switch (p->stride[1]) {
    case 1:
      return columns == 3 ? finish_rows(is_max, p, row, y, first, rows, 3, 1)
                          : finish_rows(is_max, p, row, y, first, rows, columns, 1);
    case 2:
      return columns == 3   ? finish_rows(is_max, p, row, y, first, rows, 3, 2)
             : columns == 2 ? finish_rows(is_max, p, row, y, first, rows, 2, 2)
                            : finish_rows(is_max, p, row, y, first, rows, columns, 2);
    default:
      return finish_rows_singly(is_max, p, row, y, first, rows);
  }
}

/* Averages of windows that are too large for floats, or of values that are. */
static void average_rows_widely(const kp_prepared *p, const real *x, real *y, int64_t first,
                                int64_t rows) {
  for (int64_t k = first; k < first + rows; k++) {
    const pool_span row = p->row_spans[k % p->out_height];
    const real *line = x + (k / p->out_height * p->height + row.from) * p->width;
    for (int64_t ow = 0; ow < p->out_width; ow++) {
      const pool_span column = p->column_spans[ow];
      double sum = 0;
      for (int64_t i = 0; i < row.taps; i++)
        sum += sum_of(line + i * p->width + column.from, column.taps);
      *y++ = (real)(sum / (double)(row.counted * column.counted));
    }
  }
}

/* Rows of which some aren't finite: those alone in doubles, so that no row's result depends on
 * which others it was worked on with. */
static void average_again(const kp_prepared *p, const real *x, const real *row, real *y,
                          int64_t first, int64_t rows) {
  for (int64_t k = first; k < first + rows; k++, row += p->row, y += p->out_width)
    if (saw_infinity(finish_rows_of(0, p, row, y, k, 1))) average_rows_widely(p, x, y, k, 1);
}

static void pool_planes(const void *context, int64_t begin, int64_t end, int thread) {
  const pool_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t at_once = rows_at_once(p), width = p->out_width;
  if (!p->is_max && p->kernel[0] + p->kernel[1] > ROUNDINGS) {
    average_rows_widely(p, job->x, job->y + begin * width, begin, end - begin);
    return;
  }
  real *row = (real *)(job->scratch + thread * scratch_bytes(p));
  for (int64_t i = 0; i < scratch_values(p); i++) row[i] = p->is_max ? -(real)INFINITY : 0;
  for (int64_t first = begin; first < end; first += at_once) {
    const int64_t rows = kernel_min(at_once, end - first);
    real *y = job->y + first * width;
    if (p->is_max) {
      combine_rows(1, p, job->x, first, rows, row);
      finish_rows_of(1, p, row, y, first, rows);
    } else {
      combine_rows(0, p, job->x, first, rows, row);
      if (saw_infinity(finish_rows_of(0, p, row, y, first, rows)))
        average_again(p, job->x, row, y, first, rows);
    }
  }
}

static void pool_whole_planes(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const pool_job *job = context;
  const int64_t size = job->p->height * job->p->width;
  const double share = 1 / (double)size;
  for (int64_t i = begin; i < end; i++) {
    const real *x = job->x + i * size;
    job->y[i] = job->p->is_max ? largest_of(x, size) : (real)(sum_of(x, size) * share);
  }
}

/* ---- Running -------------------------------------------------------------- */

static kp_status pool_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const pool_job job = {p, buffers[0], buffers[1], scratch};
  const int64_t rows = p->images * p->out_height;
  if (p->channels != 1)
    parallel_for(p->threads, rows * channel_groups(p), pool_channels, &job);
  else
    parallel_for(p->threads, rows, is_whole(p) ? pool_whole_planes : pool_planes, &job);
  if (p->padding.lanes) zero_padding(&p->padding, buffers[1]);
  return KP_OK;
}

#define POOL(operator_name, suffix, ...)                \
  {KERNEL("portable." operator_name ".direct." suffix), \
   .context = &(const pool_kind){__VA_ARGS__},          \
   .query = pool_query,                                 \
   .prepare = pool_prepare,                             \
   .run = pool_run,                                     \
   .release = release_prepared}
#define POOLS(suffix)                                                               \
  POOL("max_pool2d", suffix, .is_max = 1), POOL("avg_pool2d", suffix, .is_max = 0), \
      POOL("global_max_pool2d", suffix, .is_max = 1, .is_global = 1),               \
      POOL("global_avg_pool2d", suffix, .is_max = 0, .is_global = 1)

#if REAL_BITS == 64
static const kp_kernel list[] = {POOLS("f64")};
const kp_kernel_list LEVEL_NAME(pool2d_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {
    POOLS("f32"), WIDENED_HALVES("max_pool2d", list[0]), WIDENED_HALVES("avg_pool2d", list[1]),
    WIDENED_HALVES("global_max_pool2d", list[2]), WIDENED_HALVES("global_avg_pool2d", list[3])};
const kp_kernel_list LEVEL_NAME(pool2d_kernels) = KERNEL_LIST(list);
#endif
