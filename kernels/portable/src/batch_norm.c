/* A factor and a shift for each channel, from its statistics, and what follows. */
#include "blocked.h"
#include "epilogue.h"
#include "parallel.h"
#include "wide.h"
#include "widen.h"

struct kp_prepared {
  double epsilon;
  int threads;
  uint32_t output;                    /* its buffer */
  int64_t channels, padded, together; /* channels; filled up; of a pixel that lie together */
  int64_t images, pixels;
  blocked_padding padding;
  epilogue follows;
  epilogue_step steps[];
};

static double batch_norm_work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), 0);
}

static int64_t padded_channels(const kp_problem *problem) {
  return kernel_round_up(problem->inputs[0].dl.shape[1], 16);
}

/* The parameters have a rank and a layout of their own. */
static int refuse_tensors(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  const char *layout = !kp_is_layout(x, "any")   ? x->layout
                       : !kp_is_layout(y, "any") ? y->layout
                                                 : "nchw";
  if (!layout_bit(layout)) {
    kp_refuse(answer, KP_NO_LAYOUT, "x.layout", "nchw, nhwc, nChw16c or nChw8c");
    return 1;
  }
  if (strcmp(layout, "nchw") != 0 && x->dl.ndim != 4) {
    kp_refuse_number(answer, KP_NO_RANK, "x.rank", "4 in this layout", x->dl.ndim);
    return 1;
  }
  for (uint32_t i = 0; i < num_tensors(problem); i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    if (kp_is_absent(t)) continue;
    if (t->quantization) {
      kp_refuse(answer, KP_NO_QUANTIZATION, "quantization", "none");
      return 1;
    }
    const int is_parameter = i > 0 && i < problem->num_operator_inputs;
    const char *expected = is_parameter ? "nchw" : layout;
    if (!kp_is_layout(t, "any") && !kp_is_layout(t, expected)) {
      kp_refuse(answer, KP_NO_LAYOUT, "layout", "x's, and nchw for the parameters");
      return 1;
    }
    answer_layout(answer, i, expected);
  }
  return 0;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  static const element type = {kDLFloat, REAL_BITS, REAL_BITS == 64 ? "float64" : "float32"};
  if (refuse_element(&problem->inputs[0], answer, "x.dtype", &type) ||
      !epilogue_check(problem, answer) || refuse_tensors(problem, answer))
    return;
  answer->may_overwrite = 1;
  answer->scratch_bytes = (uint64_t)(2 * padded_channels(problem) * (int64_t)sizeof(real));
  answer_yes(problem, answer, batch_norm_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = calloc(1, sizeof *p + problem->num_epilogues * sizeof *p->steps);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0];
  const int64_t block = kp_block(x), channels = x->dl.shape[1];
  p->epsilon = kp_real(problem, "epsilon", 0, 1e-5);
  p->threads = kernel_threads(batch_norm_work(problem), problem->threads);
  p->output = problem->num_inputs;
  p->channels = channels;
  p->padded = padded_channels(problem);
  p->together = kp_is_layout(x, "nhwc") ? channels : block;
  p->images = x->dl.shape[0];
  p->pixels = extent_product(x->dl.shape, 2, x->dl.ndim);
  if (p->together == 1 && p->pixels == 1) { /* a matrix: rows are pixels with channels last */
    p->together = channels;
    p->pixels = p->images;
    p->images = 1;
  }
  p->padding = padding_of(&problem->outputs[0]);
  p->follows = epilogue_read(problem, REAL_BITS == 64 ? STORED_F64 : STORED_F32, p->steps);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  void *const *buffers;
  const real *x, *factor, *shift;
  real *y;
} batch_norm_job;

enum { CHUNK = 512 }; /* values; a multiple of every block and vector */

static void finish(const batch_norm_job *job, int64_t offset, real *values, int64_t count) {
  REAL_BASE_NAME(epilogue_apply)(&job->p->follows, job->buffers, offset, values, (int)count);
  memcpy(job->y + offset, values, (size_t)count * sizeof *values);
}

/* `count` values of one channel. */
static void normalize_run(const batch_norm_job *job, int64_t offset, int64_t count, real factor,
                          real shift) {
  real values[CHUNK];
  for (int64_t i = 0; i < count; i += CHUNK) {
    const int64_t n = count - i < CHUNK ? count - i : CHUNK;
    const real *x = job->x + offset + i;
    for (int64_t k = 0; k < n; k++) values[k] = x[k] * factor + shift;
    finish(job, offset + i, values, n);
  }
}

/* Pixels of `together` channels each. */
static void normalize_pixels(const batch_norm_job *job, int64_t offset, int64_t pixels,
                             const real *factor, const real *shift) {
  const int64_t together = job->p->together;
  real values[CHUNK];
  if (together > CHUNK / 2) {
    for (int64_t pixel = 0; pixel < pixels; pixel++)
      for (int64_t c = 0; c < together; c += CHUNK) {
        const int64_t n = together - c < CHUNK ? together - c : CHUNK;
        const real *x = job->x + offset + pixel * together + c;
        for (int64_t k = 0; k < n; k++) values[k] = x[k] * factor[c + k] + shift[c + k];
        finish(job, offset + pixel * together + c, values, n);
      }
    return;
  }
  const int64_t at_once = CHUNK / together;
  for (int64_t pixel = 0; pixel < pixels; pixel += at_once) {
    const int64_t n = pixels - pixel < at_once ? pixels - pixel : at_once;
    const real *x = job->x + offset + pixel * together;
    for (int64_t i = 0; i < n; i++)
      for (int64_t c = 0; c < together; c++)
        values[i * together + c] = x[i * together + c] * factor[c] + shift[c];
    finish(job, offset + pixel * together, values, n * together);
  }
}

enum { PIXELS = 256 }; /* that are one piece of work */

static int64_t pixel_groups(const kp_prepared *p) { return (p->pixels + PIXELS - 1) / PIXELS; }
static int64_t planes(const kp_prepared *p) {
  return (p->channels + p->together - 1) / (p->together ? p->together : 1);
}

static void normalize_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const batch_norm_job *job = context;
  const kp_prepared *p = job->p;
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = i % pixel_groups(p) * PIXELS, plane = i / pixel_groups(p);
    const int64_t pixels = p->pixels - first < PIXELS ? p->pixels - first : PIXELS;
    const int64_t offset = (plane * p->pixels + first) * p->together;
    const int64_t channel = plane % planes(p) * p->together;
    if (p->together == 1)
      normalize_run(job, offset, pixels, job->factor[channel], job->shift[channel]);
    else
      normalize_pixels(job, offset, pixels, job->factor + channel, job->shift + channel);
  }
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const real *scale = buffers[1], *bias = buffers[2], *mean = buffers[3], *variance = buffers[4];
  real *factor = scratch, *shift = factor + p->padded;
  for (int64_t c = 0; c < p->channels; c++) {
    const double f = scale[c] / sqrt(variance[c] + p->epsilon);
    factor[c] = (real)f;
    shift[c] = (real)(bias[c] - mean[c] * f);
  }
  for (int64_t c = p->channels; c < p->padded; c++) factor[c] = shift[c] = 0;
  real *y = buffers[p->output];
  const batch_norm_job job = {p, buffers, buffers[0], factor, shift, y};
  parallel_for(p->threads, p->images * planes(p) * pixel_groups(p), normalize_part, &job);
  if (p->padding.lanes) zero_padding(&p->padding, y);
  return KP_OK;
}

#define BATCH_NORM(suffix)                                                                     \
  {KERNEL("portable.batch_norm.simd." suffix), .query = query, .prepare = prepare, .run = run, \
   .release = release_prepared}
#if REAL_BITS == 64
static const kp_kernel list[] = {BATCH_NORM("f64")};
const kp_kernel_list LEVEL_NAME(batch_norm_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {BATCH_NORM("f32"), WIDENED_HALVES("batch_norm", list[0])};
const kp_kernel_list LEVEL_NAME(batch_norm_kernels) = KERNEL_LIST(list);
#endif
