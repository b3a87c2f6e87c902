/* Averages of quantised images over windows, and over whole images. */
#include "kernel.h"
#include "parallel.h"
#include "pool2d.h"
#include "requantise.h"

typedef struct {
  pool_kind kind;
  element type;
} qpool_context;

typedef struct {
  kp_prepared pool;
  int is_signed;
  int32_t x_zero, zero;
  float ratio;
  quantized_range range;
} qpool;

typedef struct {
  const qpool *p;
  const uint8_t *x;
  uint8_t *y;
} qpool_job;

static double work(const kp_problem *problem, const kp_prepared *p) {
  const double taps = (double)p->kernel[0] * (double)p->kernel[1];
  const double each = p->channels > 1 ? 0.8e-9 / F32_LANES : 0.4e-9;
  return work_seconds(problem_bytes(problem),
                      (double)kp_elements(problem->outputs) * (taps * each + 1e-9));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const qpool_context *context = kernel->context;
  if (refuse_element(problem->inputs, answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW | LAYOUT_NHWC))
    return;
  kp_prepared p;
  pool_describe(problem, &context->kind, answer->layouts[0], &p);
  if (p.kernel[0] > (1 << 23) / p.kernel[1])
    return kp_refuse(answer, KP_NO_ATTRIBUTE, "kernel_shape", "<= 2^23 pixels");
  answer_yes(problem, answer, work(problem, &p));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  const qpool_context *context = kernel->context;
  qpool *q = NEW_PREPARED(qpool);
  if (!q) return refuse_memory(error);
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  pool_describe(problem, &context->kind, x->layout, &q->pool);
  q->pool.threads = kernel_threads(work(problem, &q->pool), problem->threads);
  q->is_signed = x->dl.dtype.code == kDLInt;
  q->x_zero = quantized_zero(x, 0);
  q->zero = quantized_zero(y, 0);
  q->ratio = quantized_ratio(x, y);
  q->range = quantized_output_range(problem);
  *prepared = &q->pool;
  return KP_OK;
}

/* ---- One window ------------------------------------------------------------ */

typedef struct {
  const uint8_t *origin; /* the first tap inside the image */
  int64_t rows, columns, row_step, column_step;
  int64_t count;
} window;

static int64_t counted(const kp_prepared *p, int axis, int64_t start) {
  const int64_t extent = axis ? p->width : p->height, before = p->pad[axis];
  int64_t first, last;
  if (p->count_pads)
    pool_inside(start + before, p->kernel[axis], 1, extent + before + p->pad[axis + 2], &first,
                &last);
  else
    pool_inside(start, p->kernel[axis], 1, extent, &first, &last);
  return last - first;
}

static window window_at(const kp_prepared *p, const uint8_t *image, int64_t oh, int64_t ow) {
  const int64_t top = oh * p->stride[0] - p->pad[0], left = ow * p->stride[1] - p->pad[1];
  int64_t row, row_end, column, column_end;
  pool_inside(top, p->kernel[0], 1, p->height, &row, &row_end);
  pool_inside(left, p->kernel[1], 1, p->width, &column, &column_end);
  return (window){image + ((top + row) * p->width + left + column) * p->channels,
                  row_end - row,
                  column_end - column,
                  p->width * p->channels,
                  p->channels,
                  counted(p, 0, top) * counted(p, 1, left)};
}

LEVEL_INLINE i32v load_bytes(const qpool *q, const uint8_t *from, int64_t count) {
  uint8_t bytes[F32_LANES] = {0};
  if (count < F32_LANES) from = memcpy(bytes, from, (size_t)count);
  return q->is_signed ? load_i8_as_i32((const int8_t *)from) : load_u8_as_i32(from);
}

static int32_t add_lanes_i32(i32v v) {
  int32_t sum = 0;
  for (int i = 0; i < (int)F32_LANES; i++) sum += v[i];
  return sum;
}

/* Sum of `count` bytes that follow one another. */
static int32_t sum_of_bytes(const qpool *q, const uint8_t *from, int64_t count) {
  i32v sum = {0};
  int64_t i = 0;
  for (; i + F32_LANES <= count; i += F32_LANES) sum += load_bytes(q, from + i, F32_LANES);
  int32_t total = add_lanes_i32(sum);
  for (; i < count; i++) total += q->is_signed ? (int8_t)from[i] : from[i];
  return total;
}

static void average(const qpool *q, const window *w, uint8_t *y) {
  const requantisation r = make_requantisation(q->range, q->zero);
  const f32v multiplier = broadcast_f32(q->ratio / (float)w->count);
  const int32_t zeros = (int32_t)(w->rows * w->columns) * q->x_zero;
  if (q->pool.channels == 1) {
    int32_t sum = -zeros;
    for (int64_t i = 0; i < w->rows; i++)
      sum += sum_of_bytes(q, w->origin + i * w->row_step, w->columns);
    store_bytes(y, requantise((i32v){0} + sum, multiplier, &r), 1);
    return;
  }
  for (int64_t c = 0; c < q->pool.channels; c += F32_LANES) {
    const int64_t left = q->pool.channels - c;
    i32v sum = (i32v){0} - zeros;
    for (int64_t i = 0; i < w->rows; i++) {
      const uint8_t *tap = w->origin + c + i * w->row_step;
      for (int64_t j = 0; j < w->columns; j++, tap += w->column_step)
        sum += load_bytes(q, tap, left);
    }
    store_bytes(y + c, requantise(sum, multiplier, &r), left);
  }
}

/* ---- Rows of the output ------------------------------------------------------ */

static void output_rows(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const qpool_job *job = context;
  const kp_prepared *p = &job->p->pool;
  for (int64_t row = begin; row < end; row++) {
    const uint8_t *image = job->x + row / p->out_height * p->height * p->width * p->channels;
    uint8_t *y = job->y + row * p->out_width * p->channels;
    for (int64_t ow = 0; ow < p->out_width; ow++, y += p->channels) {
      const window w = window_at(p, image, row % p->out_height, ow);
      average(job->p, &w, y);
    }
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const qpool_job job = {(const qpool *)p, buffers[0], buffers[1]};
  parallel_for(p->threads, p->images * p->out_height, output_rows, &job);
  return KP_OK;
}

#define QPOOL(operator, short_name, global)                                        \
  {KERNEL("portable." #operator ".direct." #short_name),                           \
   .context = &(const qpool_context){{.is_global = global}, ELEMENT_##short_name}, \
   .query = query,                                                                 \
   .prepare = prepare,                                                             \
   .run = run,                                                                     \
   .release = release_prepared}
static const kp_kernel list[] = {QPOOL(qavg_pool2d, u8, 0), QPOOL(qavg_pool2d, i8, 0),
                                 QPOOL(qglobal_avg_pool2d, u8, 1),
                                 QPOOL(qglobal_avg_pool2d, i8, 1)};
const kp_kernel_list LEVEL_NAME(qpool2d_kernels) = KERNEL_LIST(list);
