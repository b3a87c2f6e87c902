/* Maxima of 8-bit integers over windows of images, and over whole images. */
#include "level.h"
#include "pool2d.h"

enum {
  WHOLE = LEVEL_VECTOR_BYTES,
  /* The compiler makes no vectors of fewer bytes where there are wider ones. */
  HALF = LEVEL_VECTOR_BYTES == 64 ? 32 : LEVEL_VECTOR_BYTES,
};

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
  const double channels = (double)p->channels;
  const double tap = channels < 16     ? 2.5e-9 + 1e-10 * channels
                     : channels < HALF ? 0.9e-9
                                       : 0.3e-9 + (WHOLE < 32 ? 2e-11 : 1e-11) * channels;
  return pixels * taps * tap;
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

/* What a pixel of the output sees: `rows` by `columns` taps. */
typedef struct {
  int64_t rows, columns, step[2];
} window;

/* The largest of all taps in `width` channels. The compiler keeps what is best in registers. */
#define LANES_OF(name, type, lowest, size, width)                                      \
  LEVEL_INLINE void name##_lanes_##size(const type *x, const window *w, int64_t rows,  \
                                        int64_t columns, type *y) {                    \
    type best[width];                                                                  \
    for (int l = 0; l < width; l++) best[l] = lowest;                                  \
    for (int64_t r = 0; r < rows; r++)                                                 \
      for (int64_t s = 0; s < columns; s++) {                                          \
        const type *tap = x + r * w->step[0] + s * w->step[1];                         \
        for (int l = 0; l < width; l++) best[l] = tap[l] > best[l] ? tap[l] : best[l]; \
      }                                                                                \
    memcpy(y, best, sizeof best);                                                      \
  }

/* Of bytes too few for the vectors that the compiler would make of a loop. */
#define SIXTEEN_OF(name, type, lowest)                                                 \
  LEVEL_INLINE void name##_lanes_sixteen(const type *x, const window *w, int64_t rows, \
                                         int64_t columns, type *y) {                   \
    typedef type lanes __attribute__((vector_size(16)));                               \
    lanes best = (lanes){0} + (type)(lowest);                                          \
    for (int64_t r = 0; r < rows; r++)                                                 \
      for (int64_t s = 0; s < columns; s++) {                                          \
        lanes tap;                                                                     \
        memcpy(&tap, x + r * w->step[0] + s * w->step[1], sizeof tap);                 \
        const lanes more = (lanes)(tap > best);                                        \
        best = (tap & more) | (best & ~more);                                          \
      }                                                                                \
    memcpy(y, &best, sizeof best);                                                     \
  }

#define PIXEL_OF(name, type, size, width)                                                      \
  LEVEL_INLINE void name##_all_##size(const type *x, const window *w, int64_t rows,            \
                                      int64_t columns, int64_t channels, type *y) {            \
    for (int64_t c = 0; c < channels - width; c += width)                                      \
      name##_lanes_##size(x + c, w, rows, columns, y + c);                                     \
    const int64_t last = channels - width;                                                     \
    name##_lanes_##size(x + last, w, rows, columns, y + last);                                 \
  }                                                                                            \
  static void name##_pixel_##size(const type *x, const window *w, int64_t channels, type *y) { \
    if (w->rows == 3 && w->columns == 3)                                                       \
      name##_all_##size(x, w, 3, 3, channels, y);                                              \
    else if (w->rows == 2 && w->columns == 2)                                                  \
      name##_all_##size(x, w, 2, 2, channels, y);                                              \
    else                                                                                       \
      name##_all_##size(x, w, w->rows, w->columns, channels, y);                               \
  }

#define LARGEST(name, type, lowest)                                                              \
  LANES_OF(name, type, lowest, whole, WHOLE)                                                     \
  LANES_OF(name, type, lowest, half, HALF)                                                       \
  SIXTEEN_OF(name, type, lowest)                                                                 \
  PIXEL_OF(name, type, whole, WHOLE)                                                             \
  PIXEL_OF(name, type, half, HALF)                                                               \
  PIXEL_OF(name, type, sixteen, 16)                                                              \
  static void name##_pixel_few(const type *x, const window *w, int64_t channels,                 \
                               type *restrict y) {                                               \
    for (int64_t c = 0; c < channels; c++) y[c] = lowest;                                        \
    for (int64_t r = 0; r < w->rows; r++)                                                        \
      for (int64_t s = 0; s < w->columns; s++) {                                                 \
        const type *restrict tap = x + r * w->step[0] + s * w->step[1];                          \
        for (int64_t c = 0; c < channels; c++) y[c] = tap[c] > y[c] ? tap[c] : y[c];             \
      }                                                                                          \
  }                                                                                              \
  static void name##_pixel(const type *x, const window *w, int64_t channels, type *y) {          \
    (channels >= WHOLE  ? name##_pixel_whole                                                     \
     : channels >= HALF ? name##_pixel_half                                                      \
     : channels >= 16   ? name##_pixel_sixteen                                                   \
                        : name##_pixel_few)(x, w, channels, y);                                  \
  }                                                                                              \
  static void rows_##name(const void *context, int64_t begin, int64_t end, int thread) {         \
    (void)thread;                                                                                \
    const pool_job *job = context;                                                               \
    const kp_prepared *p = job->p;                                                               \
    const int64_t channels = p->channels, across = p->width * channels;                          \
    window w = {.step = {p->dilation[0] * across, p->dilation[1] * channels}};                   \
    for (int64_t row = begin; row < end; row++) {                                                \
      const int64_t top = row % p->out_height * p->stride[0] - p->pad[0];                        \
      const type *image = (const type *)job->x + row / p->out_height * p->height * across;       \
      type *y = (type *)job->y + row * p->out_width * channels;                                  \
      int64_t i, k;                                                                              \
      pool_inside(top, p->kernel[0], p->dilation[0], p->height, &i, &w.rows);                    \
      w.rows -= i;                                                                               \
      for (int64_t ow = 0; ow < p->out_width; ow++, y += channels) {                             \
        const int64_t left = ow * p->stride[1] - p->pad[1];                                      \
        pool_inside(left, p->kernel[1], p->dilation[1], p->width, &k, &w.columns);               \
        w.columns -= k;                                                                          \
        name##_pixel(image + top * across + left * channels + i * w.step[0] + k * w.step[1], &w, \
                     channels, y);                                                               \
      }                                                                                          \
    }                                                                                            \
  }
LARGEST(i8, int8_t, INT8_MIN)
LARGEST(u8, uint8_t, 0)

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
const kp_kernel_list LEVEL_NAME(pool2d_integer_kernels) = KERNEL_LIST(list);
