#include <stdlib.h>

#include "naive.h"
#include "naive_steps.h"

enum { LARGEST_ATTRIBUTE = 1 << 20 };

typedef struct convolution {
  int64_t images, outputs, out_height, out_width;
  int64_t channels, height, width; /* channels: of one group */
  int64_t kernel_height, kernel_width, groups;
  int64_t stride[2], pad[2], dilation[2];
} convolution;

struct kp_prepared {
  convolution own;
  naive_result result;
};

/* Every index into x is held to x's extents, so that y's may be any. */
static int read_convolution(const kp_problem *problem, convolution *c, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *y = &problem->outputs[0];
  if (x->dl.ndim != 4 || w->dl.ndim != 4 || y->dl.ndim != 4)
    return naive_refuse_shape(answer, "x.rank", "4, as w's and y's", x->dl.ndim);
  *c = (convolution){
      .images = y->dl.shape[0],
      .outputs = y->dl.shape[1],
      .out_height = y->dl.shape[2],
      .out_width = y->dl.shape[3],
      .channels = w->dl.shape[1],
      .height = x->dl.shape[2],
      .width = x->dl.shape[3],
      .kernel_height = w->dl.shape[2],
      .kernel_width = w->dl.shape[3],
      .groups = kp_integer(problem, "groups", 0, 1),
  };
  for (uint32_t i = 0; i < 2; i++) {
    c->stride[i] = kp_integer(problem, "strides", i, 1);
    c->pad[i] = kp_integer(problem, "pads", i, 0);
    c->dilation[i] = kp_integer(problem, "dilations", i, 1);
    const int64_t numbers[] = {c->stride[i], c->dilation[i], c->pad[i]};
    for (int j = 0; j < 3; j++)
      if (numbers[j] < (j < 2) || numbers[j] > LARGEST_ATTRIBUTE)
        return naive_refuse_shape(answer, "strides, dilations, pads", "at most 2^20", numbers[j]);
  }
  if (c->groups < 1 || c->groups > c->outputs || c->outputs % c->groups)
    return naive_refuse_shape(answer, "groups", "a divisor of the outputs", c->groups);
  if (x->dl.shape[1] % c->groups || x->dl.shape[1] / c->groups != c->channels)
    return naive_refuse_shape(answer, "x.shape", "w's channels for each group", x->dl.shape[1]);
  if (w->dl.shape[0] != c->outputs || x->dl.shape[0] != c->images)
    return naive_refuse_shape(answer, "y.shape", "x's images and w's outputs", c->outputs);
  return naive_bias_fits(problem, c->outputs, answer);
}

static void query_convolution(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                              kp_answer *answer) {
  (void)pack, (void)kernel;
  convolution c;
  if (naive_accepts(problem, answer) && read_convolution(problem, &c, answer))
    answer->cost = 1e-9 * (double)kp_elements(&problem->outputs[0]) * (double)c.channels *
                   (double)(c.kernel_height * c.kernel_width);
}

static kp_status prepare_convolution(kp_pack *pack, const kp_kernel *kernel,
                                     const kp_problem *problem, const void *const *constants,
                                     kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants, (void)error;
  kp_answer unused;
  *prepared = calloc(1, sizeof **prepared);
  if (!*prepared) return KP_OUT_OF_MEMORY;
  read_convolution(problem, &(*prepared)->own, &unused);
  (*prepared)->result = naive_result_of(problem);
  return KP_OK;
}

/* The window's places first to last - 1 lie inside the image, seen from output `index`. */
typedef struct range {
  int64_t first, last;
} range;

static range inside(const convolution *c, int axis, int64_t index, int64_t places, int64_t extent) {
  const int64_t origin = index * c->stride[axis] - c->pad[axis], step = c->dilation[axis];
  range r = {origin < 0 ? (-origin + step - 1) / step : 0, places};
  const int64_t beyond = origin < extent ? (extent - origin + step - 1) / step : 0;
  if (r.last > beyond) r.last = beyond;
  return r;
}

static float convolve(const convolution *c, const float *x, const float *w, int64_t row,
                      int64_t column) {
  const range rows = inside(c, 0, row, c->kernel_height, c->height);
  const range columns = inside(c, 1, column, c->kernel_width, c->width);
  const int64_t top = row * c->stride[0] - c->pad[0], left = column * c->stride[1] - c->pad[1];
  const int64_t down = c->dilation[0], right = c->dilation[1];
  float sum = 0;
  for (int64_t channel = 0; channel < c->channels; channel++)
    for (int64_t i = rows.first; i < rows.last; i++)
      for (int64_t j = columns.first; j < columns.last; j++)
        sum += x[(channel * c->height + top + i * down) * c->width + left + j * right] *
               w[(channel * c->kernel_height + i) * c->kernel_width + j];
  return sum;
}

static kp_status run_convolution(const kp_prepared *prepared, void *const *buffers, void *scratch,
                                 void *queue) {
  (void)scratch, (void)queue;
  const convolution *c = &prepared->own;
  const float *x = buffers[0], *w = buffers[1],
              *bias = prepared->result.has_bias ? buffers[2] : NULL;
  const int64_t group_outputs = c->outputs / c->groups, image = c->height * c->width;
  int64_t index = 0;
  for (int64_t n = 0; n < c->images; n++)
    for (int64_t o = 0; o < c->outputs; o++) {
      const float *own = x + (n * c->groups + o / group_outputs) * c->channels * image;
      const float *filter = w + o * c->channels * c->kernel_height * c->kernel_width;
      for (int64_t row = 0; row < c->out_height; row++)
        for (int64_t column = 0; column < c->out_width; column++, index++)
          naive_store(&prepared->result, buffers, index,
                      convolve(c, own, filter, row, column) + (bias ? bias[o] : 0));
    }
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define STRING(x) #x
#define LINE(x) STRING(x)
const kp_kernel naive_convolution = {
    .struct_size = sizeof(kp_kernel),
    .flags = KP_KERNEL_DETERMINISTIC,
    .name = "naive.conv2d.loops.f32",
    .source = "naive_convolution.c:" LINE(__LINE__),
    .query = query_convolution,
    .prepare = prepare_convolution,
    .run = run_convolution,
    .release = release,
};
