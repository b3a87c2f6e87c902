/* Local response normalisation across channels. */
#include "cost.h"
#include "plan.h"
#include "tensor.h"

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  const int64_t size = kp_integer(problem, "size", 0, 0);
  if (!plan_check_plain(plan, 1)) return 0;
  if (x->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "x.rank", "4", x->dl.ndim);
  if (!tensor_same_shape(x, y)) return plan_refuse(plan, KP_NO_SHAPE, "y.shape", "x.shape");
  /* An even window leans to the other side in oneDNN. */
  if (size < 1 || size % 2 == 0 || size > INT16_MAX)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "size", "an odd number", size);
  const char *layout = !tensor_is_any(x) ? x->layout : !tensor_is_any(y) ? y->layout : "nchw";
  if (!tensor_is_any(y) && !tensor_has_layout(y, layout))
    return plan_refuse(plan, KP_NO_LAYOUT, "y.layout", "x's");
  plan_answer_layout(plan, 0, layout);
  plan_answer_layout(plan, 1, layout);
  const_dnnl_memory_desc_t desc = plan_desc(plan, 4, x->dl.shape, plan->dtype, layout);
  if (!desc) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->lrn_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, dnnl_lrn_across_channels, desc, desc, size,
      (float)kp_real(problem, "alpha", 0, 1e-4), (float)kp_real(problem, "beta", 0, 0.75),
      (float)kp_real(problem, "bias", 0, 1), attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "lrn") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, desc)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(1, desc)))
    return 0;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

const struct kernel_row lrn_kernels[] = {
    {"lrn", "direct", FLOATS, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}, {0}};
