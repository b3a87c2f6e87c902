#include <stdlib.h>

#include "naive.h"
#include "naive_steps.h"

enum { MAX_RANK = 8 };

typedef struct product {
  int64_t batches, rows, columns, inner;
  int64_t row_stride, inner_stride_a, inner_stride_b, column_stride;
  float alpha;
  int32_t batch_rank;
  int64_t extents[MAX_RANK], strides_a[MAX_RANK], strides_b[MAX_RANK];
} product;

struct kp_prepared {
  product own;
  naive_result result;
};

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
    return naive_refuse_shape(answer, "a.rank", "2 to 8, as b's and y's", a->dl.ndim);
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
    return naive_refuse_shape(answer, "b.shape", "as many rows as a has columns", shape_b[turn_b]);
  if (y->dl.shape[rank - 2] != p->rows || y->dl.shape[rank - 1] != p->columns)
    return naive_refuse_shape(answer, "y.shape", "a's rows and b's columns", y->dl.shape[rank - 2]);
  for (int32_t i = 0; i < p->batch_rank; i++) {
    p->extents[i] = y->dl.shape[i];
    p->batches *= p->extents[i];
  }
  if (!batch_strides(a, p, p->strides_a) || !batch_strides(b, p, p->strides_b))
    return naive_refuse_shape(answer, "a.shape", "a batch that broadcasts to y's", a->dl.ndim);
  return naive_bias_fits(problem, p->columns, answer);
}

static void query_product(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                          kp_answer *answer) {
  (void)pack, (void)kernel;
  product p;
  if (naive_accepts(problem, answer) && read_product(problem, &p, answer))
    answer->cost = 1e-9 * (double)kp_elements(&problem->outputs[0]) * (double)p.inner;
}

static kp_status prepare_product(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                                 const void *const *constants, kp_prepared **prepared,
                                 kp_error *error) {
  (void)pack, (void)kernel, (void)constants, (void)error;
  kp_answer unused;
  *prepared = calloc(1, sizeof **prepared);
  if (!*prepared) return KP_OUT_OF_MEMORY;
  read_product(problem, &(*prepared)->own, &unused);
  (*prepared)->result = naive_result_of(problem);
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
  const product *p = &prepared->own;
  const float *bias = prepared->result.has_bias ? buffers[2] : NULL;
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
        naive_store(&prepared->result, buffers, index, p->alpha * sum + (bias ? bias[column] : 0));
      }
  }
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define STRING(x) #x
#define LINE(x) STRING(x)
const kp_kernel naive_product = {
    .struct_size = sizeof(kp_kernel),
    .flags = KP_KERNEL_DETERMINISTIC,
    .name = "naive.matmul.loops.f32",
    .source = "naive_product.c:" LINE(__LINE__),
    .query = query_product,
    .prepare = prepare_product,
    .run = run_product,
    .release = release,
};
