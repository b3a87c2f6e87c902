#include "naive.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 8, MAX_RANK = 8, LARGEST_ATTRIBUTE = 1 << 20 };

/* ---- What both operators share -------------------------------------------------------- */

typedef enum step_kind {
  ADD,
  MUL,
  RELU,
  CLIP,
  LINEAR,
  LEAKY_RELU,
  HARD_SIGMOID,
  HARD_SWISH
} step_kind;

static const char *const step_names[] = {"add",    "mul",        "relu",         "clip",
                                         "linear", "leaky_relu", "hard_sigmoid", "hard_swish"};

typedef struct step {
  step_kind kind;
  int32_t input;
  float alpha, beta;
} step;

typedef struct convolution {
  int64_t images, outputs, out_height, out_width;
  int64_t channels, height, width; /* channels: of one group */
  int64_t kernel_height, kernel_width, groups;
  int64_t stride[2], pad[2], dilation[2];
} convolution;

typedef struct product {
  int64_t batches, rows, columns, inner;
  int64_t row_stride, inner_stride_a, inner_stride_b, column_stride;
  float alpha;
  int32_t batch_rank;
  int64_t extents[MAX_RANK], strides_a[MAX_RANK], strides_b[MAX_RANK];
} product;

struct kp_prepared {
  union {
    convolution convolution;
    product product;
  };
  int has_bias; /* input 2 */
  uint32_t num_inputs, num_steps;
  step steps[MAX_STEPS];
};

static int find_step(const char *name) {
  for (int kind = 0; kind < (int)(sizeof step_names / sizeof *step_names); kind++)
    if (!strcmp(step_names[kind], name)) return kind;
  return -1;
}

static float clamp(float y, float low, float high) { return y < low ? low : y > high ? high : y; }

static float apply(const step *s, float y, void *const *buffers, int64_t index) {
  switch (s->kind) {
    case ADD:
      return y + ((const float *)buffers[s->input])[index];
    case MUL:
      return y * ((const float *)buffers[s->input])[index];
    case RELU:
      return y < 0 ? 0 : y;
    case CLIP:
      return clamp(y, s->alpha, s->beta);
    case LINEAR:
      return s->alpha * y + s->beta;
    case LEAKY_RELU:
      return y < 0 ? s->alpha * y : y;
    case HARD_SIGMOID:
      return clamp(s->alpha * y + s->beta, 0, 1);
    case HARD_SWISH:
      return y * clamp(y + 3, 0, 6) / 6;
  }
  return y;
}

static void store(const kp_prepared *prepared, void *const *buffers, int64_t index, float y) {
  for (uint32_t i = 0; i < prepared->num_steps; i++)
    y = apply(&prepared->steps[i], y, buffers, index);
  ((float *)buffers[prepared->num_inputs])[index] = y;
}

/* Whether all tensors are dense float32 and every step is known. Takes the layout where it may. */
static int accepts(const kp_problem *problem, kp_answer *answer) {
  if (problem->num_outputs != 1 || problem->num_operator_inputs < 2 ||
      problem->num_operator_inputs > 3) {
    kp_refuse_number(answer, KP_NO_SHAPE, "inputs", "2 or 3", problem->num_operator_inputs);
    return 0;
  }
  for (uint32_t i = 0; i <= problem->num_inputs; i++) {
    const kp_tensor *t = i < problem->num_inputs ? &problem->inputs[i] : &problem->outputs[0];
    if (kp_is_absent(t)) {
      if (i == 2 && problem->num_operator_inputs == 3) continue;
      kp_refuse(answer, KP_NO_SHAPE, "inputs", "all but the bias");
      return 0;
    }
    if (!kp_is_dtype(t, kDLFloat, 32) || t->quantization) {
      kp_refuse(answer, KP_NO_DTYPE, "x.dtype", "float32");
      return 0;
    }
    if (!kp_is_layout(t, "nchw") && !kp_is_layout(t, "any")) {
      kp_refuse(answer, KP_NO_LAYOUT, "x.layout", "nchw");
      return 0;
    }
    memcpy(answer->layouts[i], "nchw", sizeof "nchw");
  }
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    if (i < MAX_STEPS && find_step(problem->epilogues[i].name) >= 0) continue;
    kp_refuse(answer, KP_NO_EPILOGUE, "epilogue", "at most 8 steps that need no function of libm");
    return 0;
  }
  return 1;
}

static int refuse_shape(kp_answer *answer, const char *subject, const char *limit, int64_t got) {
  kp_refuse_number(answer, KP_NO_SHAPE, subject, limit, got);
  return 0;
}

static int has_bias(const kp_problem *problem) {
  return problem->num_operator_inputs == 3 && !kp_is_absent(&problem->inputs[2]);
}

static int bias_fits(const kp_problem *problem, int64_t length, kp_answer *answer) {
  const kp_tensor *bias = &problem->inputs[2];
  if (!has_bias(problem) || (bias->dl.ndim == 1 && bias->dl.shape[0] == length)) return 1;
  return refuse_shape(answer, "bias.shape", "one for each of y's channels", kp_elements(bias));
}

static void fill_steps(const kp_problem *problem, kp_prepared *prepared) {
  prepared->has_bias = has_bias(problem);
  prepared->num_inputs = problem->num_inputs;
  prepared->num_steps = problem->num_epilogues;
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *e = &problem->epilogues[i];
    prepared->steps[i] =
        (step){(step_kind)find_step(e->name), e->input, (float)e->alpha, (float)e->beta};
  }
}

static void release(kp_prepared *prepared) { free(prepared); }

/* ---- Convolution ---------------------------------------------------------------------- */

/* Every index into x is held to x's extents, so that y's may be any. */
static int read_convolution(const kp_problem *problem, convolution *c, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *y = &problem->outputs[0];
  if (x->dl.ndim != 4 || w->dl.ndim != 4 || y->dl.ndim != 4)
    return refuse_shape(answer, "x.rank", "4, as w's and y's", x->dl.ndim);
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
        return refuse_shape(answer, "strides, dilations, pads", "at most 2^20", numbers[j]);
  }
  if (c->groups < 1 || c->groups > c->outputs || c->outputs % c->groups)
    return refuse_shape(answer, "groups", "a divisor of the outputs", c->groups);
  if (x->dl.shape[1] % c->groups || x->dl.shape[1] / c->groups != c->channels)
    return refuse_shape(answer, "x.shape", "w's channels for each group", x->dl.shape[1]);
  if (w->dl.shape[0] != c->outputs || x->dl.shape[0] != c->images)
    return refuse_shape(answer, "y.shape", "x's images and w's outputs", c->outputs);
  return bias_fits(problem, c->outputs, answer);
}

static void query_convolution(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                              kp_answer *answer) {
  (void)pack, (void)kernel;
  convolution c;
  if (accepts(problem, answer) && read_convolution(problem, &c, answer))
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
  read_convolution(problem, &(*prepared)->convolution, &unused);
  fill_steps(problem, *prepared);
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
  const convolution *c = &prepared->convolution;
  const float *x = buffers[0], *w = buffers[1], *bias = prepared->has_bias ? buffers[2] : NULL;
  const int64_t group_outputs = c->outputs / c->groups, image = c->height * c->width;
  int64_t index = 0;
  for (int64_t n = 0; n < c->images; n++)
    for (int64_t o = 0; o < c->outputs; o++) {
      const float *own = x + (n * c->groups + o / group_outputs) * c->channels * image;
      const float *filter = w + o * c->channels * c->kernel_height * c->kernel_width;
      for (int64_t row = 0; row < c->out_height; row++)
        for (int64_t column = 0; column < c->out_width; column++, index++)
          store(prepared, buffers, index,
                convolve(c, own, filter, row, column) + (bias ? bias[o] : 0));
    }
  return KP_OK;
}

/* ---- Product -------------------------------------------------------------------------- */

/* The steps from one matrix of a tensor to the next in each dimension of the batch; 0: repeated. */
static int batch_strides(const kp_tensor *t, const product *p, int64_t *strides) {
  const int32_t own = t->dl.ndim - 2;
  int64_t step = t->dl.shape[own] * t->dl.shape[own + 1];
  for (int32_t i = p->batch_rank - 1; i >= 0; i--) {
    const int32_t dimension = i - (p->batch_rank - own);
    const int64_t extent = dimension >= 0 ? t->dl.shape[dimension] : 1;
    if (extent != 1 && extent != p->extents[i]) return 0;
    strides[i] = extent == 1 ? 0 : step;
    step *= extent;
  }
  return own <= p->batch_rank;
}

static int read_product(const kp_problem *problem, product *p, kp_answer *answer) {
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = &problem->outputs[0];
  const int32_t rank = y->dl.ndim;
  if (a->dl.ndim < 2 || b->dl.ndim < 2 || rank < 2 || rank > MAX_RANK)
    return refuse_shape(answer, "a.rank", "2 to 8, as b's and y's", a->dl.ndim);
  const int64_t *shape_a = a->dl.shape + a->dl.ndim - 2, *shape_b = b->dl.shape + b->dl.ndim - 2;
  const int turn_a = kp_integer(problem, "transpose_a", 0, 0) != 0;
  const int turn_b = kp_integer(problem, "transpose_b", 0, 0) != 0;
  *p = (product){
      .batches = 1,
      .rows = shape_a[turn_a],
      .inner = shape_a[!turn_a],
      .columns = shape_b[!turn_b],
      .row_stride = turn_a ? 1 : shape_a[1],
      .inner_stride_a = turn_a ? shape_a[1] : 1,
      .inner_stride_b = turn_b ? 1 : shape_b[1],
      .column_stride = turn_b ? shape_b[1] : 1,
      .alpha = (float)kp_real(problem, "alpha", 0, 1),
      .batch_rank = rank - 2,
  };
  if (shape_b[turn_b] != p->inner)
    return refuse_shape(answer, "b.shape", "as many rows as a has columns", shape_b[turn_b]);
  if (y->dl.shape[rank - 2] != p->rows || y->dl.shape[rank - 1] != p->columns)
    return refuse_shape(answer, "y.shape", "a's rows and b's columns", y->dl.shape[rank - 2]);
  for (int32_t i = 0; i < p->batch_rank; i++) {
    p->extents[i] = y->dl.shape[i];
    p->batches *= p->extents[i];
  }
  if (!batch_strides(a, p, p->strides_a) || !batch_strides(b, p, p->strides_b))
    return refuse_shape(answer, "a.shape", "a batch that broadcasts to y's", a->dl.ndim);
  return bias_fits(problem, p->columns, answer);
}

static void query_product(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                          kp_answer *answer) {
  (void)pack, (void)kernel;
  product p;
  if (accepts(problem, answer) && read_product(problem, &p, answer))
    answer->cost = 1e-9 * (double)kp_elements(&problem->outputs[0]) * (double)p.inner;
}

static kp_status prepare_product(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                                 const void *const *constants, kp_prepared **prepared,
                                 kp_error *error) {
  (void)pack, (void)kernel, (void)constants, (void)error;
  kp_answer unused;
  *prepared = calloc(1, sizeof **prepared);
  if (!*prepared) return KP_OUT_OF_MEMORY;
  read_product(problem, &(*prepared)->product, &unused);
  fill_steps(problem, *prepared);
  return KP_OK;
}

static int64_t matrix_offset(const product *p, const int64_t *strides, int64_t batch) {
  int64_t offset = 0;
  for (int32_t i = p->batch_rank - 1; i >= 0; i--) {
    offset += batch % p->extents[i] * strides[i];
    batch /= p->extents[i];
  }
  return offset;
}

static kp_status run_product(const kp_prepared *prepared, void *const *buffers, void *scratch,
                             void *queue) {
  (void)scratch, (void)queue;
  const product *p = &prepared->product;
  const float *bias = prepared->has_bias ? buffers[2] : NULL;
  int64_t index = 0;
  for (int64_t batch = 0; batch < p->batches; batch++) {
    const float *a = (const float *)buffers[0] + matrix_offset(p, p->strides_a, batch);
    const float *b = (const float *)buffers[1] + matrix_offset(p, p->strides_b, batch);
    for (int64_t row = 0; row < p->rows; row++)
      for (int64_t column = 0; column < p->columns; column++, index++) {
        float sum = 0;
        for (int64_t k = 0; k < p->inner; k++)
          sum += a[row * p->row_stride + k * p->inner_stride_a] *
                 b[k * p->inner_stride_b + column * p->column_stride];
        store(prepared, buffers, index, p->alpha * sum + (bias ? bias[column] : 0));
      }
  }
  return KP_OK;
}

/* ---- The pack ------------------------------------------------------------------------- */

#define STRING(x) #x
#define LINE(x) STRING(x)
static const kp_kernel convolution_kernel = {
    .struct_size = sizeof(kp_kernel),
    .flags = KP_KERNEL_DETERMINISTIC,
    .name = "naive.conv2d.loops.f32",
    .source = "naive.c:" LINE(__LINE__),
    .query = query_convolution,
    .prepare = prepare_convolution,
    .run = run_convolution,
    .release = release,
};
static const kp_kernel product_kernel = {
    .struct_size = sizeof(kp_kernel),
    .flags = KP_KERNEL_DETERMINISTIC,
    .name = "naive.matmul.loops.f32",
    .source = "naive.c:" LINE(__LINE__),
    .query = query_product,
    .prepare = prepare_product,
    .run = run_product,
    .release = release,
};
static const kp_kernel *const all_kernels[] = {&convolution_kernel, &product_kernel};

struct kp_pack {
  int unused;
};
static kp_pack the_pack;

static kp_status open_pack(const kp_option *options, size_t count, kp_pack **pack,
                           kp_error *error) {
  (void)options, (void)count, (void)error;
  *pack = &the_pack;
  return KP_OK;
}

static void close_pack(kp_pack *pack) { (void)pack; }

static const char *library_version(kp_pack *pack) {
  (void)pack;
  return "plain loops in C, gcc " __VERSION__;
}

static const kp_kernel *const *kernels(kp_pack *pack, size_t *count) {
  (void)pack;
  *count = sizeof all_kernels / sizeof *all_kernels;
  return all_kernels;
}

static const kp_pack_table table = {
    .struct_size = sizeof table,
    .contract_version = KP_CONTRACT_VERSION,
    .name = "naive",
    .pack_version = "1",
    .open = open_pack,
    .close = close_pack,
    .library_version = library_version,
    .kernels = kernels,
};

const kp_pack_table *naive_pack_table(void) { return &table; }
