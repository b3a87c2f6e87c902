/* batch_norm with given statistics, and layer_norm. */
#include <string.h>

#include "cost.h"
#include "plan.h"
#include "tensor.h"

/* An input as float32, which oneDNN wants of parameters; converted where it is something else. */
static struct place parameter(struct plan *plan, uint32_t input, int64_t elements) {
  const_dnnl_memory_desc_t own = plan_desc(plan, 1, &elements, plan->dtype, "nchw");
  const_dnnl_memory_desc_t wanted = plan_desc(plan, 1, &elements, dnnl_f32, "nchw");
  plan_answer_layout(plan, input, "nchw");
  return plan_input(plan, input, own, wanted);
}

static int check(struct plan *plan, uint32_t least_inputs) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  if (problem->num_operator_inputs < least_inputs)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", "the operator's",
                              problem->num_operator_inputs);
  if (!tensor_same_shape(x, y)) return plan_refuse(plan, KP_NO_SHAPE, "y.shape", "x.shape");
  for (uint32_t i = 0; i < problem->num_inputs; i++)
    if (!kp_is_absent(&problem->inputs[i]) && tensor_dtype(&problem->inputs[i]) != plan->dtype)
      return plan_refuse(plan, KP_NO_DTYPE, "dtype of a parameter", "x.dtype");
  if (tensor_dtype(y) != plan->dtype) return plan_refuse(plan, KP_NO_DTYPE, "y.dtype", "x.dtype");
  return 1;
}

/* x and y in x's layout, or NULL after a refusal. */
static const char *shared_layout(struct plan *plan) {
  const kp_tensor *x = &plan->problem->inputs[0], *y = plan->problem->outputs;
  const char *layout = !tensor_is_any(x) ? x->layout : !tensor_is_any(y) ? y->layout : "nchw";
  if (!tensor_is_any(y) && !tensor_has_layout(y, layout)) {
    plan_refuse(plan, KP_NO_LAYOUT, "y.layout", "x's");
    return NULL;
  }
  plan_answer_layout(plan, 0, layout);
  plan_answer_layout(plan, plan->num_inputs, layout);
  return layout;
}

static int build_batch_norm(struct plan *plan) {
  static const int arguments[] = {DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_MEAN, DNNL_ARG_VARIANCE};
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0];
  if (!check(plan, 5)) return 0;
  const int relu = problem->num_epilogues == 1 && strcmp(problem->epilogues[0].name, "relu") == 0;
  if (problem->num_epilogues && !relu)
    return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none, or relu alone");
  /* oneDNN's own relu loses NaN. */
  const int fused = relu && problem->precision == KP_MEDIUM;
  if (relu && !fused && !finish_of_epilogue(problem, &plan->finish))
    return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "precision medium: NaN is lost");
  if (x->dl.ndim < 2) return plan_refuse_number(plan, KP_NO_RANK, "x.rank", ">= 2", x->dl.ndim);
  const char *layout = shared_layout(plan);
  if (!layout) return 0;
  const int64_t channels = x->dl.shape[1];
  const int plain = x->dl.ndim != 4 || strcmp(layout, "nchw") == 0;
  const int64_t folded[4] = {x->dl.shape[0], channels, tensor_extent(x, 2, x->dl.ndim), 1};
  const_dnnl_memory_desc_t desc =
      plan_desc(plan, 4, plain ? folded : x->dl.shape, plan->dtype, plain ? "nchw" : layout);
  if (!desc) return 0;
  struct place places[4];
  for (uint32_t i = 0; i < 4; i++) {
    if (problem->inputs[i + 1].dl.ndim != 1 || problem->inputs[i + 1].dl.shape[0] != channels)
      return plan_refuse(plan, KP_NO_SHAPE, "shape of a parameter", "(x's channels,)");
    places[i] = parameter(plan, i + 1, channels);
  }
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  const unsigned flags =
      dnnl_use_global_stats | dnnl_use_scale | dnnl_use_shift | (fused ? dnnl_fuse_norm_relu : 0);
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->batch_normalization_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, desc, desc,
      (float)kp_real(problem, "epsilon", 0, 1e-5), flags, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "batch normalization") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, desc)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(plan->num_inputs, desc)))
    return 0;
  for (int i = 0; i < 4; i++)
    if (!plan_argument(plan, arguments[i], places[i])) return 0;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

static int build_layer_norm(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0];
  if (!check(plan, 2)) return 0;
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  const int64_t axis = kp_integer(problem, "axis", 0, -1);
  if (axis < 0 || axis >= x->dl.ndim)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "axis", "one of x's", axis);
  const char *layout = shared_layout(plan);
  if (!layout) return 0;
  if (strcmp(layout, "nchw") != 0) return plan_refuse(plan, KP_NO_LAYOUT, "x.layout", "nchw");
  const int64_t shape[2] = {tensor_extent(x, 0, (int)axis),
                            tensor_extent(x, (int)axis, x->dl.ndim)};
  const int biased = problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
  for (uint32_t i = 1; i < 2u + (unsigned)biased; i++)
    if (kp_elements(&problem->inputs[i]) != shape[1])
      return plan_refuse(plan, KP_NO_SHAPE, "shape of a parameter", "x's from the axis on");
  const_dnnl_memory_desc_t desc = plan_desc(plan, 2, shape, plan->dtype, "nchw");
  const_dnnl_memory_desc_t statistics = plan_desc(plan, 1, shape, dnnl_f32, "nchw");
  if (!desc || !statistics) return 0;
  const struct place scale = parameter(plan, 1, shape[1]);
  const struct place shift = biased ? parameter(plan, 2, shape[1]) : (struct place){0};
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->layer_normalization_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, desc, desc, statistics,
      (float)kp_real(problem, "epsilon", 0, 1e-5), dnnl_use_scale | (biased ? dnnl_use_shift : 0),
      attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "layer normalization") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, desc)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(plan->num_inputs, desc)) ||
      !plan_argument(plan, DNNL_ARG_SCALE, scale) ||
      (biased && !plan_argument(plan, DNNL_ARG_SHIFT, shift)))
    return 0;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

#define ROW(operator_name, build) \
  {operator_name, "direct", FLOATS, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

const struct kernel_row normalization_kernels[] = {
    ROW("batch_norm", build_batch_norm), ROW("layer_norm", build_layer_norm), {0}};
