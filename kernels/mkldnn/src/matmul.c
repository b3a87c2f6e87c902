/*
 * matmul, qmatmul and linear. Dimensions before the last two are folded as far as their
 * broadcasting allows, so that most problems are one product of two matrices.
 */
#include <string.h>

#include "cost.h"
#include "epilogue.h"
#include "quantized.h"
#include "tensor.h"

enum { MOST_BATCHES = 4, MOST_RANK = MOST_BATCHES + 2 };

struct product {
  const kp_tensor *a, *b, *bias, *y;
  int64_t rows, inner, columns;
  int transpose_a, transpose_b;
  float alpha;
  dnnl_data_type_t b_dtype, bias_dtype, y_dtype;
  struct quantized quantized; /* of qmatmul */
  /* The folded dimensions before the last two. */
  int batches;
  int64_t a_batch[MOST_BATCHES], b_batch[MOST_BATCHES], y_batch[MOST_BATCHES];
};

static int read_problem(struct plan *plan, struct product *p) {
  const kp_problem *problem = plan->problem;
  if (problem->num_operator_inputs < 2)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", ">= 2",
                              problem->num_operator_inputs);
  memset(p, 0, sizeof *p);
  p->a = &problem->inputs[0];
  p->b = &problem->inputs[1];
  p->y = problem->outputs;
  if (problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]))
    p->bias = &problem->inputs[2];
  const int linear = plan->row->parameter;
  p->transpose_a = !linear && kp_integer(problem, "transpose_a", 0, 0) != 0;
  p->transpose_b = linear || kp_integer(problem, "transpose_b", 0, 0) != 0;
  p->alpha = linear ? 1 : (float)kp_real(problem, "alpha", 0, 1);
  for (uint32_t i = 0; i < problem->num_inputs; i++) {
    const kp_tensor *tensor = &problem->inputs[i];
    if (kp_is_absent(tensor)) continue;
    if (!tensor_has_layout(tensor, "nchw") && !tensor_is_any(tensor))
      return plan_refuse(plan, KP_NO_LAYOUT, "layout of an input", "nchw");
    if (tensor_dtype(tensor) != plan->dtype && !plan_is_quantized(plan))
      return plan_refuse(plan, KP_NO_DTYPE, "dtype of an input", "the first one's");
    plan_answer_layout(plan, i, "nchw");
  }
  if (!tensor_has_layout(p->y, "nchw") && !tensor_is_any(p->y))
    return plan_refuse(plan, KP_NO_LAYOUT, "y.layout", "nchw");
  plan_answer_layout(plan, plan->num_inputs, "nchw");
  if (tensor_dtype(p->y) != plan->dtype && !plan_is_quantized(plan))
    return plan_refuse(plan, KP_NO_DTYPE, "y.dtype", "a.dtype");
  /* Of qmatmul the operator's rule has checked them. */
  p->b_dtype = plan_is_quantized(plan) ? dnnl_s8 : plan->dtype;
  p->bias_dtype = plan_is_quantized(plan) ? dnnl_s32 : plan->dtype;
  p->y_dtype = tensor_dtype(p->y);
  const int least_rank = linear ? 1 : 2;
  if (p->a->dl.ndim < least_rank || p->b->dl.ndim < 2 || p->y->dl.ndim < least_rank)
    return plan_refuse_number(plan, KP_NO_RANK, "rank", linear ? ">= 1" : ">= 2", p->a->dl.ndim);
  return 1;
}

/* Extent `from_end` places before the last two dimensions. */
static int64_t batch_extent(const kp_tensor *tensor, int from_end) {
  const int axis = tensor->dl.ndim - 3 - from_end;
  return axis < 0 ? 1 : tensor->dl.shape[axis];
}

/* Neighbours that broadcast alike become one dimension; what is left is at most MOST_BATCHES. */
static int fold_batches(struct plan *plan, struct product *p) {
  const int rank = p->y->dl.ndim - 2;
  int previous = -1;
  for (int i = rank - 1; i >= 0; i--) {
    const int64_t a = batch_extent(p->a, i), b = batch_extent(p->b, i), y = batch_extent(p->y, i);
    if ((a != y && a != 1) || (b != y && b != 1))
      return plan_refuse(plan, KP_NO_SHAPE, "shapes", "some that broadcast to the output's");
    if (y == 1) continue;
    const int kind = (a == 1) * 2 + (b == 1);
    if (kind != previous) {
      if (p->batches == MOST_BATCHES)
        return plan_refuse(plan, KP_NO_RANK, "changes of broadcasting along the axes", "<= 4");
      p->a_batch[p->batches] = p->b_batch[p->batches] = p->y_batch[p->batches] = 1;
      p->batches++;
      previous = kind;
    }
    const int last = p->batches - 1;
    p->a_batch[last] *= a, p->b_batch[last] *= b, p->y_batch[last] *= y;
  }
  /* The last one may be rows where b is the same for all of it. */
  const int last = p->batches - 1;
  if (p->batches > 0 && p->b_batch[last] == 1 && !p->transpose_a) {
    p->rows *= p->y_batch[last];
    p->batches--;
  }
  return 1;
}

static int read_shapes(struct plan *plan, struct product *p) {
  const int64_t *a = p->a->dl.shape, *b = p->b->dl.shape, *y = p->y->dl.shape;
  const int a_rank = p->a->dl.ndim, b_rank = p->b->dl.ndim, y_rank = p->y->dl.ndim;
  p->columns = y[y_rank - 1];
  if (plan->row->parameter) {
    p->inner = a[a_rank - 1];
    p->rows = tensor_extent(p->a, 0, a_rank - 1);
    if (b_rank != 2 || b[0] != p->columns || b[1] != p->inner || a_rank != y_rank)
      return plan_refuse(plan, KP_NO_SHAPE, "w.shape", "(y's, x's last extent)");
    return 1;
  }
  p->rows = y[y_rank - 2];
  p->inner = a[a_rank - (p->transpose_a ? 2 : 1)];
  if (a[a_rank - (p->transpose_a ? 1 : 2)] != p->rows ||
      b[b_rank - (p->transpose_b ? 1 : 2)] != p->inner ||
      b[b_rank - (p->transpose_b ? 2 : 1)] != p->columns)
    return plan_refuse(plan, KP_NO_SHAPE, "shapes", "matrices that can be multiplied");
  return fold_batches(plan, p);
}

/* A stack of matrices; `transposed`: stored as columns. */
static const_dnnl_memory_desc_t matrices(struct plan *plan, const struct product *p,
                                         dnnl_data_type_t dtype, const int64_t *batch, int64_t rows,
                                         int64_t columns, int transposed) {
  int64_t shape[MOST_RANK], strides[MOST_RANK];
  const int rank = p->batches + 2;
  memcpy(shape, batch, sizeof *shape * (size_t)p->batches);
  shape[rank - 2] = rows;
  shape[rank - 1] = columns;
  strides[rank - 2] = transposed ? 1 : columns;
  strides[rank - 1] = transposed ? rows : 1;
  int64_t stride = rows * columns;
  for (int i = rank - 3; i >= 0; i--) strides[i] = stride, stride *= shape[i];
  return plan_desc_strided(plan, rank, shape, dtype, strides);
}

/* The bias as a row that broadcasts over the output. */
static const_dnnl_memory_desc_t row(struct plan *plan, const struct product *p) {
  int64_t shape[MOST_RANK];
  const int rank = p->batches + 2;
  for (int i = 0; i < rank - 1; i++) shape[i] = 1;
  shape[rank - 1] = p->columns;
  return plan_desc(plan, rank, shape, p->bias_dtype, "nchw");
}

static double efficiency_of(struct plan *plan, const struct product *p,
                            dnnl_primitive_desc_t primitive) {
  if (cost_is_reference(plan_implementation(plan, primitive))) return 0.005;
  if (!plan_is_quantized(plan)) return 0.7;
  const double results = (double)kp_elements(p->y), columns = (double)p->columns;
  const double vectors = results / columns * (double)((p->columns + 15) / 16);
  return quantized_efficiency(&p->quantized, results * (double)p->inner, vectors,
                              (double)((p->inner + 3) / 4));
}

static int build(struct plan *plan) {
  struct product p;
  if (!read_problem(plan, &p) || !read_shapes(plan, &p)) return 0;
  const int rank = p.batches + 2, is_quantized = plan_is_quantized(plan);
  const struct library *dnnl = plan->dnnl;
  int64_t y_shape[MOST_RANK], b_shape[MOST_RANK];
  memcpy(y_shape, p.y_batch, sizeof *y_shape * (size_t)p.batches);
  memcpy(b_shape, p.b_batch, sizeof *b_shape * (size_t)p.batches);
  y_shape[rank - 2] = p.rows, y_shape[rank - 1] = p.columns;
  b_shape[rank - 2] = p.inner, b_shape[rank - 1] = p.columns;
  const_dnnl_memory_desc_t a =
      matrices(plan, &p, plan->dtype, p.a_batch, p.rows, p.inner, p.transpose_a);
  const_dnnl_memory_desc_t b =
      matrices(plan, &p, p.b_dtype, p.b_batch, p.inner, p.columns, p.transpose_b);
  const_dnnl_memory_desc_t asked =
      kp_is_constant(p.b) ? plan_desc_any(plan, rank, b_shape, p.b_dtype) : b;
  const_dnnl_memory_desc_t y = matrices(plan, &p, p.y_dtype, p.y_batch, p.rows, p.columns, 0);
  const_dnnl_memory_desc_t bias = p.bias ? row(plan, &p) : NULL;
  if (!a || !b || !asked || !y || (p.bias && !bias)) return 0;
  if (is_quantized && !quantized_read(plan, rank, rank - 1, &p.quantized)) return 0;
  /* A factor acts before the bias, which is then a term of its own. */
  const int apart = p.alpha != 1 && p.bias;
  const struct output_view view = {rank, y_shape, "nchw", p.alpha, apart ? bias : NULL, 2};
  dnnl_primitive_attr_t attributes = is_quantized ? quantized_attributes(plan, &p.quantized)
                                                  : epilogue_attributes(plan, &view, -1);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = dnnl->matmul_primitive_desc_create(
      &primitive, plan->engine, a, asked, apart ? NULL : bias, y, attributes);
  dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "matmul")) return 0;
  const_dnnl_memory_desc_t wanted = plan_query(primitive, plan, dnnl_query_weights_md, 0);
  const struct place weights = is_quantized ? quantized_weights(plan, &p.quantized, b, wanted)
                                            : plan_input(plan, 1, b, wanted);
  struct epilogue_places operands;
  if ((!is_quantized && !epilogue_inputs(plan, &view, primitive, &operands)) ||
      !plan_step(plan, primitive) || !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, a)) ||
      !plan_argument(plan, DNNL_ARG_WEIGHTS, weights) ||
      (bias && !apart && !plan_argument(plan, DNNL_ARG_BIAS, plan_buffer(2, bias))) ||
      !(is_quantized ? quantized_arguments(plan, &p.quantized)
                     : epilogue_arguments(plan, &operands, -1)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(plan->num_inputs, y)))
    return 0;
  plan_finish(plan, 2.0 * (double)kp_elements(p.y) * (double)p.inner,
              efficiency_of(plan, &p, primitive));
  return 1;
}

#define ROW(operator_name, linear) {operator_name, "direct", FLOATS, 0, build, linear, SOURCE}

const struct kernel_row matmul_kernels[] = {
    ROW("linear", 1),
    ROW("matmul", 0),
    {"qmatmul", "direct", S8 | U8 | QUANTIZED, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE},
    {0}};
