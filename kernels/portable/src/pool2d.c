/* Maxima and averages over windows of images, and over whole images. */
#include "parallel.h"
#include "pool2d.h"
#include "wide.h"
#include "widen.h"

static const element element_real = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};

static double pool_work(const kp_problem *problem, const kp_prepared *p) {
  double windows = (double)kp_elements(&problem->outputs[0]);
  double taps = (double)p->kernel[0] * (double)p->kernel[1];
  return work_seconds(problem_bytes(problem), windows * taps * (p->channels > 1 ? 0.1e-9 : 0.4e-9));
}

/* A thread's scratch: a row of the input combined over the window's height, and whole vectors for
 * windows that begin at its last pixels. */
static int64_t row_bytes(const kp_prepared *p) {
  return kernel_round_up((p->row + 2 * (int64_t)REAL_LANES) * (int64_t)sizeof(double),
                         KP_ALIGNMENT);
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
  if (p.channels == 1) answer->scratch_bytes = (uint64_t)(row_bytes(&p) * problem->threads);
  answer_yes(problem, answer, pool_work(problem, &p));
}

static kp_status pool_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                              const void *const *constants, kp_prepared **prepared,
                              kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  pool_describe(problem, kernel->context, problem->inputs[0].layout, p);
  p->threads = kernel_threads(pool_work(problem, p), problem->threads);
  p->padding = padding_of(&problem->outputs[0]);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const real *x;
  real *y;
  char *scratch;
} pool_job;

/* What a window's sum is divided by, along one axis: its taps inside the image, or those inside
 * the padded image too. */
static int64_t taps_counted(const kp_prepared *p, int axis, int64_t start) {
  const int64_t extent = axis ? p->width : p->height, before = p->pad[axis],
                after = p->pad[axis + 2];
  int64_t first, last;
  if (p->count_pads)
    pool_inside(start + before, p->kernel[axis], p->dilation[axis], extent + before + after, &first,
                &last);
  else
    pool_inside(start, p->kernel[axis], p->dilation[axis], extent, &first, &last);
  return last - first;
}

/* ---- Channels that lie together: vectors of them -------------------------- */

typedef struct {
  const real *origin;            /* the first tap inside the image */
  int64_t rows, columns;         /* taps inside */
  int64_t row_step, column_step; /* values */
  double count;
} window;

/* What the windows of a row of them share; the origin is the first line's first pixel. */
static window window_row(const kp_prepared *p, const real *image, int64_t oh) {
  const int64_t top = oh * p->stride[0] - p->pad[0];
  int64_t row, row_end;
  pool_inside(top, p->kernel[0], p->dilation[0], p->height, &row, &row_end);
  return (window){image + (top + row * p->dilation[0]) * p->width * p->channels,
                  row_end - row,
                  p->kernel[1],
                  p->dilation[0] * p->width * p->channels,
                  p->dilation[1] * p->channels,
                  (double)taps_counted(p, 0, top)};
}

static window window_at(const kp_prepared *p, const window *row, int64_t ow) {
  int64_t left = ow * p->stride[1] - p->pad[1];
  window w = *row;
  if (ow >= p->inner_begin && ow < p->inner_end) {
    w.count *= (double)p->kernel[1];
  } else {
    int64_t column, column_end;
    pool_inside(left, p->kernel[1], p->dilation[1], p->width, &column, &column_end);
    w.columns = column_end - column;
    w.count *= (double)taps_counted(p, 1, left);
    left += column * p->dilation[1];
  }
  w.origin += left * p->channels;
  return w;
}

/* Of `lanes` channels, which are all of a vector where that's a constant. */
LEVEL_INLINE void largest_of_vector(const window *w, real *y, int64_t c, int lanes) {
  realv best = broadcast_real(-(real)INFINITY);
  for (int64_t i = 0; i < w->rows; i++) {
    const real *tap = w->origin + c + i * w->row_step;
    for (int64_t j = 0; j < w->columns; j++, tap += w->column_step)
      best = maximum_real(lanes == (int)REAL_LANES ? load_real(tap) : load_real_first(tap, lanes),
                          best);
  }
  if (lanes == (int)REAL_LANES)
    store_real(y + c, best);
  else
    store_real_first(y + c, best, lanes);
}

static void largest_in(const window *w, real *y, int64_t channels) {
  int64_t c = 0;
  for (; c + (int)REAL_LANES <= channels; c += REAL_LANES) largest_of_vector(w, y, c, REAL_LANES);
  if (c < channels) largest_of_vector(w, y, c, (int)(channels - c));
}

static void average_in(const window *w, real *y, int64_t channels) {
  int64_t c = 0;
  for (; c + (int)F64_LANES <= channels; c += F64_LANES) {
    f64v sum = {0};
    for (int64_t i = 0; i < w->rows; i++) {
      const real *tap = w->origin + c + i * w->row_step;
      for (int64_t j = 0; j < w->columns; j++, tap += w->column_step) sum += load_wide(tap);
    }
    store_wide(y + c, sum / w->count);
  }
  for (; c < channels; c++) {
    double sum = 0;
    for (int64_t i = 0; i < w->rows; i++)
      for (int64_t j = 0; j < w->columns; j++)
        sum += w->origin[c + i * w->row_step + j * w->column_step];
    y[c] = (real)(sum / w->count);
  }
}

enum { GROUP = 64 }; /* channels that are one piece of work */

static int64_t channel_groups(const kp_prepared *p) { return (p->channels + GROUP - 1) / GROUP; }

static void pool_channels(const void *context, int64_t begin, int64_t end, int part) {
  (void)part;
  const pool_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t groups = channel_groups(p);
  for (int64_t i = begin; i < end; i++) {
    const int64_t group = i % groups, oh = i / groups % p->out_height;
    const int64_t image = i / groups / p->out_height, first = group * GROUP;
    const int64_t count = p->channels - first < GROUP ? p->channels - first : GROUP;
    const real *x = job->x + image * p->height * p->width * p->channels + first;
    real *y = job->y + (image * p->out_height + oh) * p->out_width * p->channels + first;
    const window row = window_row(p, x, oh);
    for (int64_t ow = 0; ow < p->out_width; ow++, y += p->channels) {
      const window w = window_at(p, &row, ow);
      if (p->is_max)
        largest_in(&w, y, count);
      else
        average_in(&w, y, count);
    }
  }
}

/* ---- Planes: a row of windows at a time ----------------------------------- */

LEVEL_INLINE int lanes_left(int64_t left) {
  return left < (int)REAL_LANES ? (int)left : REAL_LANES;
}

/* Combines `lines` lines of the image, `step` apart. */
LEVEL_INLINE void largest_of_lines(const real *x, int64_t lines, int64_t step, int64_t width,
                                   real *row) {
  for (int64_t i = 0; i < width; i += REAL_LANES) {
    const int lanes = lanes_left(width - i);
    realv best = broadcast_real(-(real)INFINITY);
    for (int64_t k = 0; k < lines; k++)
      best = maximum_real(lanes == (int)REAL_LANES ? load_real(x + k * step + i)
                                                   : load_real_first(x + k * step + i, lanes),
                          best);
    store_real_first(row + i, best, lanes);
  }
}

/* Combines the columns of each window of a row, whole vectors of which there is room for. */
LEVEL_INLINE void largest_of_columns(const kp_prepared *p, const real *row, real *y, int stride) {
  for (int64_t i = 0; i < p->out_width; i += REAL_LANES) {
    realv best = broadcast_real(-(real)INFINITY);
    for (int64_t k = 0; k < p->kernel[1]; k++) {
      const real *from = row + k * p->dilation[1] + i * stride;
      realv column = load_real(from);
      if (stride == 2) column = even_real(column, load_real(from + REAL_LANES));
      best = maximum_real(column, best);
    }
    store_real_first(y + i, best, lanes_left(p->out_width - i));
  }
}

static void max_row(const kp_prepared *p, const real *x, real *y, int64_t oh, real *row) {
  const int64_t top = oh * p->stride[0] - p->pad[0], inner_end = p->pad[1] + p->width;
  int64_t first, last;
  pool_inside(top, p->kernel[0], p->dilation[0], p->height, &first, &last);
  for (int64_t i = 0; i < p->pad[1]; i++) row[i] = -(real)INFINITY;
  for (int64_t i = inner_end; i < p->row; i++) row[i] = -(real)INFINITY;
  largest_of_lines(x + (top + first * p->dilation[0]) * p->width, last - first,
                   p->dilation[0] * p->width, p->width, row + p->pad[1]);
  if (p->stride[1] == 1) {
    largest_of_columns(p, row, y, 1);
  } else if (p->stride[1] == 2) {
    largest_of_columns(p, row, y, 2);
  } else {
    for (int64_t i = 0; i < p->out_width; i++) {
      real best = -(real)INFINITY;
      for (int64_t k = 0; k < p->kernel[1]; k++) {
        const real tap = row[i * p->stride[1] + k * p->dilation[1]];
        best = best > tap || best != best ? best : tap;
      }
      y[i] = best;
    }
  }
}

LEVEL_INLINE void sum_of_lines(const real *x, int64_t lines, int64_t step, int64_t width,
                               double *row) {
  int64_t i = 0;
  for (; i + (int)F64_LANES <= width; i += F64_LANES) {
    f64v sum = {0};
    for (int64_t k = 0; k < lines; k++) sum += load_wide(x + k * step + i);
    store_f64(row + i, sum);
  }
  for (; i < width; i++) {
    row[i] = 0;
    for (int64_t k = 0; k < lines; k++) row[i] += x[k * step + i];
  }
}

/* Averages of windows [begin, end) over `rows` lines, none of which sees an edge; returns the
 * first that is left, for want of a whole vector. */
LEVEL_INLINE int64_t average_columns(const kp_prepared *p, const double *row, real *y, int64_t rows,
                                     int64_t begin, int64_t end, int stride) {
  const f64v count = broadcast_f64((double)(rows * p->kernel[1]));
  for (; begin + (int)F64_LANES <= end; begin += F64_LANES) {
    f64v sum = {0};
    for (int64_t k = 0; k < p->kernel[1]; k++) {
      const double *from = row + k * p->dilation[1] + begin * stride;
      f64v column = load_f64(from);
      if (stride == 2) column = even_f64(column, load_f64(from + F64_LANES));
      sum += column;
    }
    store_wide(y + begin, sum / count);
  }
  return begin;
}

static void average_row(const kp_prepared *p, const real *x, real *y, int64_t oh, double *row) {
  const int64_t top = oh * p->stride[0] - p->pad[0], rows = taps_counted(p, 0, top);
  const int64_t begin = p->inner_begin;
  const int64_t end = p->inner_end < p->out_width ? p->inner_end : p->out_width;
  int64_t first, last, done = begin;
  pool_inside(top, p->kernel[0], p->dilation[0], p->height, &first, &last);
  for (int64_t i = 0; i < p->pad[1]; i++) row[i] = 0;
  for (int64_t i = p->pad[1] + p->width; i < p->row; i++) row[i] = 0;
  sum_of_lines(x + (top + first * p->dilation[0]) * p->width, last - first,
               p->dilation[0] * p->width, p->width, row + p->pad[1]);
  if (p->stride[1] == 1)
    done = average_columns(p, row, y, rows, begin, end, 1);
  else if (p->stride[1] == 2)
    done = average_columns(p, row, y, rows, begin, end, 2);
  for (int64_t i = 0; i < p->out_width; i++) {
    if (i == begin && done > begin) i = done;
    if (i == p->out_width) break;
    double sum = 0;
    for (int64_t k = 0; k < p->kernel[1]; k++) sum += row[i * p->stride[1] + k * p->dilation[1]];
    y[i] = (real)(sum / (double)(rows * taps_counted(p, 1, i * p->stride[1] - p->pad[1])));
  }
}

static void pool_planes(const void *context, int64_t begin, int64_t end, int part) {
  const pool_job *job = context;
  const kp_prepared *p = job->p;
  char *row = job->scratch + part * row_bytes(p);
  for (int64_t i = begin; i < end; i++) {
    const real *x = job->x + i / p->out_height * p->height * p->width;
    if (p->is_max)
      max_row(p, x, job->y + i * p->out_width, i % p->out_height, (real *)row);
    else
      average_row(p, x, job->y + i * p->out_width, i % p->out_height, (double *)row);
  }
}

static void pool_whole_planes(const void *context, int64_t begin, int64_t end, int part) {
  (void)part;
  const pool_job *job = context;
  const int64_t size = job->p->height * job->p->width;
  for (int64_t i = begin; i < end; i++) {
    const real *x = job->x + i * size;
    job->y[i] = job->p->is_max ? largest_of(x, size) : (real)(sum_of(x, size) / (double)size);
  }
}

/* ---- Running -------------------------------------------------------------- */

static kp_status pool_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const pool_job job = {p, buffers[0], buffers[1], scratch};
  const int64_t rows = p->images * p->out_height;
  const int is_whole = p->out_height == 1 && p->out_width == 1 && p->kernel[0] == p->height &&
                       p->kernel[1] == p->width && !p->pad[0] && !p->pad[1];
  if (p->channels != 1)
    parallel_for(p->threads, rows * channel_groups(p), pool_channels, &job);
  else
    parallel_for(p->threads, rows, is_whole ? pool_whole_planes : pool_planes, &job);
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
