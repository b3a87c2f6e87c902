/* Maxima of 8-bit integers over windows of images, and over whole images. */
#include "parallel.h"
#include "pool2d.h"

typedef struct {
  pool_kind kind;
  element type;
  parallel_body *rows;
} pool_context;

typedef struct {
  const kp_prepared *p;
  const void *x;
  void *y;
} pool_job;

/* As measured: of each pixel's taps, and of the channels that lie together in it. */
static double pool_work(const kp_prepared *p) {
  const double taps = (double)p->kernel[0] * (double)p->kernel[1];
  const double pixels = (double)p->images * (double)(p->out_height * p->out_width);
  return pixels * taps * (2.5e-9 + 1.5e-11 * (double)p->channels);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const pool_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_ALL))
    return;
  kp_prepared p;
  pool_describe(problem, &context->kind, answer->layouts[0], &p);
  answer_yes(problem, answer, pool_work(&p));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  const pool_context *context = kernel->context;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  pool_describe(problem, &context->kind, problem->inputs[0].layout, p);
  p->threads = kernel_threads(pool_work(p), problem->threads);
  p->padding = padding_of(&problem->outputs[0]);
  p->rows = context->rows;
  *prepared = p;
  return KP_OK;
}

/* Rows of the output. The number of channels is a copy: a byte that is written might be it, for all
 * that the compiler knows. */
#define ROWS(name, type, lowest)                                                           \
  static void rows_##name(const void *context, int64_t begin, int64_t end, int part) {     \
    (void)part;                                                                            \
    const pool_job *job = context;                                                         \
    const kp_prepared *p = job->p;                                                         \
    const int64_t channels = p->channels, across = p->width * channels;                    \
    const int64_t step[2] = {p->dilation[0] * across, p->dilation[1] * channels};          \
    for (int64_t row = begin; row < end; row++) {                                          \
      const int64_t top = row % p->out_height * p->stride[0] - p->pad[0];                  \
      const type *image = (const type *)job->x + row / p->out_height * p->height * across; \
      type *y = (type *)job->y + row * p->out_width * channels;                            \
      int64_t i, rows, k, columns;                                                         \
      pool_inside(top, p->kernel[0], p->dilation[0], p->height, &i, &rows);                \
      for (int64_t ow = 0; ow < p->out_width; ow++, y += channels) {                       \
        const int64_t left = ow * p->stride[1] - p->pad[1];                                \
        pool_inside(left, p->kernel[1], p->dilation[1], p->width, &k, &columns);           \
        const int64_t corner = top * across + left * channels;                             \
        for (int64_t c = 0; c < channels; c++) y[c] = lowest;                              \
        for (int64_t r = i; r < rows; r++)                                                 \
          for (int64_t s = k; s < columns; s++)                                            \
            name##_larger(y, image + (corner + r * step[0] + s * step[1]), channels);      \
      }                                                                                    \
    }                                                                                      \
  }
#define LARGER(name, type)                                                                    \
  static inline void name##_larger(type *restrict y, const type *restrict x, int64_t count) { \
    for (int64_t c = 0; c < count; c++) y[c] = x[c] > y[c] ? x[c] : y[c];                     \
  }
LARGER(i8, int8_t)
LARGER(u8, uint8_t)
ROWS(i8, int8_t, INT8_MIN)
ROWS(u8, uint8_t, 0)

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const pool_job job = {p, buffers[0], buffers[1]};
  parallel_for(p->threads, p->images * p->out_height, p->rows, &job);
  if (p->padding.lanes) zero_padding(&p->padding, buffers[1]);
  return KP_OK;
}

#define POOL(operator_name, short_name, global)                                          \
  {KERNEL("portable." operator_name ".loop." #short_name),                               \
   .context =                                                                            \
       &(const pool_context){                                                            \
           {.is_max = 1, .is_global = global}, ELEMENT_##short_name, rows_##short_name}, \
   .query = query,                                                                       \
   .prepare = prepare,                                                                   \
   .run = run,                                                                           \
   .release = release_prepared}
static const kp_kernel list[] = {POOL("max_pool2d", i8, 0), POOL("max_pool2d", u8, 0),
                                 POOL("global_max_pool2d", i8, 1),
                                 POOL("global_max_pool2d", u8, 1)};
const kp_kernel_list pool2d_integer_kernels = KERNEL_LIST(list);
