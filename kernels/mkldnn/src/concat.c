/* Concatenation along an axis. */
#include <string.h>

#include "cost.h"
#include "plan.h"
#include "tensor.h"

/* The layout that all share, settled for those that leave it open; NULL after a refusal. */
static const char *shared_layout(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const char *layout = tensor_is_any(problem->outputs) ? NULL : problem->outputs->layout;
  for (uint32_t i = 0; i < problem->num_inputs && !layout; i++)
    if (!tensor_is_any(&problem->inputs[i])) layout = problem->inputs[i].layout;
  if (!layout) layout = "nchw";
  for (uint32_t i = 0; i < problem->num_inputs; i++) {
    if (!tensor_is_any(&problem->inputs[i]) && !tensor_has_layout(&problem->inputs[i], layout)) {
      plan_refuse(plan, KP_NO_LAYOUT, "layouts of the inputs", "the output's");
      return NULL;
    }
    plan_answer_layout(plan, i, layout);
  }
  plan_answer_layout(plan, plan->num_inputs, layout);
  return layout;
}

/* Two dimensions where the layout is plain: what is before the axis, and the rest. */
static const_dnnl_memory_desc_t describe(struct plan *plan, const kp_tensor *tensor,
                                         const char *layout, int axis) {
  if (tensor->dl.ndim == 4 && strcmp(layout, "nchw") != 0)
    return plan_desc(plan, 4, tensor->dl.shape, plan->dtype, layout);
  const int64_t shape[2] = {tensor_extent(tensor, 0, axis),
                            tensor_extent(tensor, axis, tensor->dl.ndim)};
  return plan_desc(plan, 2, shape, plan->dtype, "nchw");
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *y = problem->outputs;
  const int64_t axis = kp_integer(problem, "axis", 0, -1);
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (axis < 0 || axis >= y->dl.ndim)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "axis", "one of y's", axis);
  const char *layout = shared_layout(plan);
  if (!layout) return 0;
  const_dnnl_memory_desc_t descs[PLAN_INPUTS];
  for (uint32_t i = 0; i < plan->num_inputs; i++) {
    const kp_tensor *x = &problem->inputs[i];
    if (tensor_dtype(x) != plan->dtype || tensor_dtype(y) != plan->dtype)
      return plan_refuse(plan, KP_NO_DTYPE, "dtype of an input", "the output's");
    if (x->dl.ndim != y->dl.ndim)
      return plan_refuse_number(plan, KP_NO_RANK, "rank of an input", "the output's", x->dl.ndim);
    if (!(descs[i] = describe(plan, x, layout, (int)axis))) return 0;
  }
  const_dnnl_memory_desc_t result = describe(plan, y, layout, (int)axis);
  if (!result) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  const int plain = y->dl.ndim != 4 || strcmp(layout, "nchw") == 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->concat_primitive_desc_create(
      &primitive, plan->engine, result, (int)plan->num_inputs, plain ? 1 : (int)axis, descs,
      attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "concat") || !plan_step(plan, primitive)) return 0;
  for (uint32_t i = 0; i < plan->num_inputs; i++)
    if (!plan_argument(plan, DNNL_ARG_MULTIPLE_SRC + (int)i, plan_buffer(i, descs[i]))) return 0;
  if (!plan_argument(plan, DNNL_ARG_DST, plan_buffer(plan->num_inputs, result))) return 0;
  /* Its reference code is a reorder for each input. */
  plan_finish(plan, 0, cost_share(plan, primitive) < 1 ? 0.4 : 1);
  return 1;
}

const struct kernel_row concat_kernels[] = {
    {"concat", "direct", FLOATS | S32 | S8 | U8, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}, {0}};
