/*
 * quantize_linear and dequantize_linear, element by element. A reorder with scales would multiply
 * by a reciprocal and round behind the zero point, so that these are a quotient, and a difference,
 * of two tensors with what remains to be done behind it: the operators' definitions to the bit.
 * Left out: sums of int32, which no such primitive takes.
 */
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "folding.h"
#include "quantization.h"
#include "tensor.h"

/* Both tensors as oneDNN sees them, and a vector of parameters that broadcasts over them. */
struct view {
  int rank;
  int64_t shape[DNNL_MAX_NDIMS], parameters[DNNL_MAX_NDIMS];
  int axis;           /* of the parameters; one for all: 0 */
  const char *layout; /* of the tensors */
};

/* A dense tensor folds to (outer, channels[, inner]); an image in another layout stays as it is. */
static int make_view(struct plan *plan, const kp_tensor *stored, struct view *view) {
  const char *layout = fold_shared_layout(plan);
  if (!layout) return 0;
  const int rank = stored->dl.ndim, axis = stored->quantization->axis;
  const int stays = rank == 4 && strcmp(layout, "nchw") != 0 &&
                    (axis >= 0 || fold_stored_elements(stored, layout) != kp_elements(stored));
  /* A last extent of 1 would make oneDNN take the channels for pixels. */
  const int64_t inner = axis < 0 ? 1 : tensor_extent(stored, axis + 1, rank);
  *view = (struct view){.rank = stays       ? 4
                                : axis < 0  ? 1
                                : inner > 1 ? 3
                                            : 2,
                        .axis = stays      ? (axis < 0 ? 0 : axis)
                                : axis < 0 ? 0
                                           : 1,
                        .layout = stays ? layout : "nchw"};
  if (stays) {
    memcpy(view->shape, stored->dl.shape, 4 * sizeof *view->shape);
  } else if (axis < 0) {
    view->shape[0] = kp_elements(stored);
  } else {
    view->shape[0] = tensor_extent(stored, 0, axis);
    view->shape[1] = stored->dl.shape[axis];
    view->shape[2] = inner;
  }
  for (int i = 0; i < view->rank; i++) view->parameters[i] = 1;
  view->parameters[view->axis] = stored->quantization->count;
  return 1;
}

/* The tensor's scales, or its zero points, as floats. */
static struct place parameters(struct plan *plan, const kp_tensor *stored, const struct view *view,
                               int are_zeros) {
  const int64_t count = stored->quantization->count;
  const_dnnl_memory_desc_t desc = plan_desc(plan, view->rank, view->parameters, dnnl_f32, "nchw");
  float *values = malloc((size_t)count * sizeof *values);
  struct place place = {PLACE_NONE, 0, 0, NULL};
  if (values) {
    for (int64_t i = 0; i < count; i++)
      values[i] = are_zeros ? (float)quantized_zero(stored, i) : quantized_scale(stored, i);
    place = plan_values(plan, desc, values);
  } else {
    plan_refuse(plan, KP_NO_MEMORY, "scales", "memory for them");
  }
  free(values);
  return place;
}

/* What a quotient by the scales, or a difference from the zero points, is followed by. */
static int append_steps(struct plan *plan, int quantizes, const_dnnl_memory_desc_t other,
                        dnnl_primitive_attr_t attributes) {
  const struct library *dnnl = plan->dnnl;
  dnnl_post_ops_t operations = NULL;
  const int appended =
      dnnl->post_ops_create(&operations) == dnnl_success &&
      (!quantizes ||
       dnnl->post_ops_append_eltwise(operations, dnnl_eltwise_round, 0, 0) == dnnl_success) &&
      dnnl->post_ops_append_binary(operations, quantizes ? dnnl_binary_add : dnnl_binary_mul,
                                   other) == dnnl_success &&
      dnnl->primitive_attr_set_post_ops(attributes, operations) == dnnl_success;
  if (operations) dnnl->post_ops_destroy(operations);
  return appended ||
         plan_refuse(plan, KP_NO_QUANTIZATION, "scales and zero points", "some that oneDNN serves");
}

static int build_binary(struct plan *plan, const struct view *view, const kp_tensor *stored) {
  const kp_problem *problem = plan->problem;
  const int quantizes = stored == problem->outputs;
  const struct place scales = parameters(plan, stored, view, 0);
  const struct place zeros = parameters(plan, stored, view, 1);
  const struct place first = quantizes ? scales : zeros, second = quantizes ? zeros : scales;
  const_dnnl_memory_desc_t x = plan_desc(plan, view->rank, view->shape, plan->dtype, view->layout);
  const_dnnl_memory_desc_t y =
      plan_desc(plan, view->rank, view->shape, tensor_dtype(problem->outputs), view->layout);
  if (!first.desc || !second.desc || !x || !y) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const int appended = append_steps(plan, quantizes, second.desc, attributes);
  const dnnl_status_t status =
      appended ? plan->dnnl->binary_primitive_desc_create(
                     &primitive, plan->engine, quantizes ? dnnl_binary_div : dnnl_binary_sub, x,
                     first.desc, y, attributes)
               : dnnl_success;
  plan->dnnl->primitive_attr_destroy(attributes);
  const int operand =
      DNNL_ARG_ATTR_MULTIPLE_POST_OP(quantizes ? 1 : 0) | DNNL_ARG_SRC_1; /* behind the rounding */
  if (!appended || !plan_keep(plan, status, primitive, "binary") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC_0, plan_buffer(0, x)) ||
      !plan_argument(plan, DNNL_ARG_SRC_1, first) || !plan_argument(plan, operand, second) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(1, y)))
    return 0;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const int quantizes = strcmp(plan->row->operator_name, "quantize_linear") == 0;
  const kp_tensor *stored = quantizes ? problem->outputs : problem->inputs;
  struct view view;
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (!make_view(plan, stored, &view)) return 0;
  return build_binary(plan, &view, stored);
}

#define ROW(operator_name, dtypes) \
  {operator_name, "binary", (dtypes) | QUANTIZED, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

const struct kernel_row quantize_kernels[] = {
    ROW("quantize_linear", F32 | BF16), ROW("dequantize_linear", S8 | U8), {0}};
