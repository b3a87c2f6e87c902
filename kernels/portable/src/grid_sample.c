/*
 * Images sampled at the places that a grid names.
 *
 * The taps of some places, where they are and what they weigh, are found once and serve all
 * channels. They are computed in double, so that a place between two pixels is the reference's.
 */
#include "cubic.h"
#include "parallel.h"
#include "real.h"
#include "widen.h"

enum { ZEROS, BORDER, REFLECTION };
enum { PLACES = 256, AXIS_TAPS = 4, OUTSIDE = -1 };

#define FAR 0x1p30 /* pixels: what lies farther out, and NaN, is taken to be there */

struct kp_prepared {
  int threads, axis_taps, padding, aligned;
  int64_t batch, channels, height, width, places;
};

static int taps_of(const kp_problem *problem) {
  const char *mode = kp_string(problem, "mode", "linear");
  return strcmp(mode, "nearest") == 0 ? 1 : strcmp(mode, "linear") == 0 ? 2 : 4;
}

static int padding_of_mode(const kp_problem *problem) {
  const char *mode = kp_string(problem, "padding_mode", "zeros");
  return strcmp(mode, "zeros") == 0 ? ZEROS : strcmp(mode, "border") == 0 ? BORDER : REFLECTION;
}

static double grid_sample_work(const kp_problem *problem) {
  const int taps = taps_of(problem) * taps_of(problem);
  return work_seconds(problem_bytes(problem),
                      0.3e-9 * taps * (double)kp_elements(&problem->outputs[0]) +
                          3e-9 * (double)kp_elements(&problem->inputs[1]));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  static const element type = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  const int64_t *shape = problem->inputs[0].dl.shape;
  const int64_t pixels = kernel_multiply(shape[2], shape[3]);
  if (pixels > INT32_MAX) {
    kp_refuse_number(answer, KP_NO_SHAPE, "x.shape", "<= 2147483647 pixels", pixels);
    return;
  }
  answer_yes(problem, answer, grid_sample_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const int64_t *x = problem->inputs[0].dl.shape, *grid = problem->inputs[1].dl.shape;
  *p = (kp_prepared){.threads = kernel_threads(grid_sample_work(problem), problem->threads),
                     .axis_taps = taps_of(problem),
                     .padding = padding_of_mode(problem),
                     .aligned = (int)kp_integer(problem, "align_corners", 0, 0),
                     .batch = x[0],
                     .channels = x[1],
                     .height = x[2],
                     .width = x[3],
                     .places = grid[1] * grid[2]};
  *prepared = p;
  return KP_OK;
}

/* Places beyond `low` to `high` turned over at them until they are within. */
static void reflect_places(int count, double low, double high, double *at) {
  const double span = high - low, period = 2 * span;
  for (int i = 0; i < count; i++) {
    const double distance = fabs(at[i] - low);
    const double rest = distance - floor(distance / period) * period;
    at[i] = low + (rest > span ? period - rest : rest);
  }
}

/* Where along an axis a grid's numbers are; padding moves those beyond the image, but for a cubic,
 * of which it moves the pixels alone. */
static void find_places(const kp_prepared *p, const real *grid, int count, double extent,
                        double *at) {
  const double last = extent - 1;
  if (p->aligned)
    for (int i = 0; i < count; i++) at[i] = (grid[2 * i] + 1.0) / 2 * last;
  else
    for (int i = 0; i < count; i++) at[i] = ((grid[2 * i] + 1.0) * extent - 1) / 2;
  for (int i = 0; i < count; i++) {
    const double from = at[i] > -FAR ? at[i] : -FAR;
    at[i] = from < FAR ? from : FAR;
  }
  if (p->axis_taps == 1)
    for (int i = 0; i < count; i++) at[i] = rint(at[i]);
  if (p->axis_taps == 4 || p->padding == ZEROS) return;
  if (p->padding == BORDER || extent == 1)
    for (int i = 0; i < count; i++) {
      const double from = at[i] > 0 ? at[i] : 0;
      at[i] = from < last ? from : last;
    }
  else
    reflect_places(count, p->aligned ? 0 : -0.5, p->aligned ? last : last + 0.5, at);
}

/* The pixel along an axis that stands for one beside the image, which is turned over. */
static int32_t reflected_pixel(int32_t index, int32_t extent, int aligned) {
  if (index >= 0 && index < extent) return index;
  if (extent == 1) return 0;
  const int64_t period = 2 * ((int64_t)extent - aligned);
  const int64_t rest = (index % period + period) % period;
  return (int32_t)(rest < extent ? rest : period - !aligned - rest);
}

typedef struct {
  int32_t index[AXIS_TAPS][PLACES];
  real weight[AXIS_TAPS][PLACES];
} axis_table;

static void find_weights(int taps, int count, const double *fraction, axis_table *table) {
  for (int i = 0; i < count; i++)
    if (taps == 1) {
      table->weight[0][i] = 1;
    } else if (taps == 2) {
      table->weight[0][i] = (real)(1 - fraction[i]);
      table->weight[1][i] = (real)fraction[i];
    } else {
      for (int t = 0; t < 4; t++)
        table->weight[t][i] = (real)cubic_weight(fraction[i] + 1 - t, -0.75);
    }
}

static void pad_pixels(const kp_prepared *p, int count, int32_t extent, int32_t *index) {
  const int32_t last = extent - 1;
  if (p->padding == ZEROS)
    for (int i = 0; i < count; i++) index[i] = index[i] < 0 || index[i] > last ? OUTSIDE : index[i];
  else if (p->padding == BORDER)
    for (int i = 0; i < count; i++) {
      const int32_t from = index[i] > 0 ? index[i] : 0;
      index[i] = from < last ? from : last;
    }
  else
    for (int i = 0; i < count; i++) index[i] = reflected_pixel(index[i], extent, p->aligned);
}

static void find_axis(const kp_prepared *p, const real *grid, int count, int64_t extent,
                      axis_table *table) {
  const int taps = p->axis_taps, before = taps == 4;
  double at[PLACES];
  int32_t first[PLACES];
  find_places(p, grid, count, (double)extent, at);
  for (int i = 0; i < count; i++) {
    const double base = floor(at[i]);
    first[i] = (int32_t)base - before;
    at[i] -= base;
  }
  find_weights(taps, count, at, table);
  for (int t = 0; t < taps; t++) {
    for (int i = 0; i < count; i++) table->index[t][i] = first[i] + t;
    pad_pixels(p, count, (int32_t)extent, table->index[t]);
  }
}

typedef struct {
  int is_inside;                                  /* all taps of all places are */
  int32_t present[AXIS_TAPS * AXIS_TAPS][PLACES]; /* the image has the pixel, else index is 0 */
  int32_t index[AXIS_TAPS * AXIS_TAPS][PLACES];
  real weight[AXIS_TAPS * AXIS_TAPS][PLACES];
} tap_table;

static void find_taps(const kp_prepared *p, const real *grid, int count, tap_table *table) {
  axis_table rows, columns;
  const int taps = p->axis_taps;
  const int32_t width = (int32_t)p->width;
  find_axis(p, grid, count, p->width, &columns);
  find_axis(p, grid + 1, count, p->height, &rows);
  int32_t all = 1;
  for (int a = 0; a < taps; a++)
    for (int b = 0; b < taps; b++)
      for (int i = 0; i < count; i++) {
        const int32_t row = rows.index[a][i], column = columns.index[b][i];
        const int32_t present = (row | column) >= 0;
        all &= present;
        table->present[a * taps + b][i] = present;
        table->index[a * taps + b][i] = present ? row * width + column : 0;
        table->weight[a * taps + b][i] = rows.weight[a][i] * columns.weight[b][i];
      }
  table->is_inside = all;
}

LEVEL_INLINE void add_inside(const tap_table *table, int taps, int count, const real *restrict x,
                             real *restrict y) {
  for (int i = 0; i < count; i++) {
    real sum = 0;
    for (int t = 0; t < taps; t++) sum += table->weight[t][i] * x[table->index[t][i]];
    y[i] = sum;
  }
}

/* What is beside the image is left out after it was loaded: both by vectors. */
static void add_any(const tap_table *table, int taps, int count, const real *x, real *y) {
  real pixels[PLACES], sums[PLACES] = {0};
  for (int t = 0; t < taps; t++) {
    const int32_t *index = table->index[t], *present = table->present[t];
    const real *weight = table->weight[t];
    for (int i = 0; i < count; i++) pixels[i] = x[index[i]];
    for (int i = 0; i < count; i++) sums[i] += weight[i] * (present[i] ? pixels[i] : 0);
  }
  memcpy(y, sums, (size_t)count * sizeof *y);
}

typedef struct {
  const kp_prepared *p;
  const real *x, *grid;
  real *y;
} grid_sample_job;

static int64_t groups_of(const kp_prepared *p) { return (p->places + PLACES - 1) / PLACES; }

static void sample_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const grid_sample_job *job = context;
  const kp_prepared *p = job->p;
  const int64_t pixels = p->height * p->width;
  tap_table table;
  for (int64_t group = begin; group < end; group++) {
    const int64_t image = group / groups_of(p), first = group % groups_of(p) * PLACES;
    const int count = (int)kernel_min(p->places - first, PLACES);
    find_taps(p, job->grid + 2 * (image * p->places + first), count, &table);
    for (int64_t channel = 0; channel < p->channels; channel++) {
      const int64_t plane = image * p->channels + channel;
      const real *x = job->x + plane * pixels;
      real *y = job->y + plane * p->places + first;
      if (!table.is_inside)
        add_any(&table, p->axis_taps * p->axis_taps, count, x, y);
      else if (p->axis_taps == 1)
        add_inside(&table, 1, count, x, y);
      else if (p->axis_taps == 2)
        add_inside(&table, 4, count, x, y);
      else
        add_inside(&table, 16, count, x, y);
    }
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const grid_sample_job job = {p, buffers[0], buffers[1], buffers[2]};
  if (p->channels) parallel_for(p->threads, p->batch * groups_of(p), sample_part, &job);
  return KP_OK;
}

#define GRID_SAMPLE(suffix)                                                                     \
  {KERNEL("portable.grid_sample.taps." suffix), .query = query, .prepare = prepare, .run = run, \
   .release = release_prepared}
#if REAL_BITS == 64
static const kp_kernel list[] = {GRID_SAMPLE("f64")};
const kp_kernel_list LEVEL_NAME(grid_sample_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {GRID_SAMPLE("f32"), WIDENED_HALVES("grid_sample", list[0])};
const kp_kernel_list LEVEL_NAME(grid_sample_kernels) = KERNEL_LIST(list);
#endif
