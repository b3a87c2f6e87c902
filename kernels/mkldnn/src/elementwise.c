/*
 * Functions of one tensor, element by element. Left out, since oneDNN's result
 * isn't the operator's: relu, clip, hard_sigmoid and exp lose NaN, gelu of
 * infinity is NaN, log is inexact near 1 and below the normal numbers.
 */
#include "cost.h"
#include "eltwise.h"
#include "folding.h"
#include "tensor.h"

/* Of the bandwidth within a core's caches, where each element takes an exponential. */
static const double EXPONENTIAL_SHARE = 0.3;

static double share_of(const struct plan *plan, dnnl_primitive_desc_t primitive,
                       const struct eltwise *function) {
  const double share = cost_share(plan, primitive);
  return eltwise_takes_exponential(function) ? share * EXPONENTIAL_SHARE : share;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  struct eltwise function;
  if (!plan_check_plain(plan, 1)) return 0;
  if (!tensor_same_shape(x, y)) return plan_refuse(plan, KP_NO_SHAPE, "y.shape", "x.shape");
  if (!eltwise_of_operator(problem, &function))
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "operator", "one that oneDNN serves");
  /* Without a slope oneDNN takes a maximum, which loses NaN. */
  if (function.algorithm == dnnl_eltwise_relu && function.alpha == 0)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "alpha", "other than 0", 0);
  const char *layout = fold_shared_layout(plan);
  if (!layout) return 0;
  /* A filling that must stay zero can't be computed as if it were data. */
  const int64_t stored = fold_stored_elements(x, layout);
  const int folds = stored == kp_elements(x) || eltwise_keeps_zero(&function);
  const_dnnl_memory_desc_t desc = folds ? fold_row(plan, stored, plan->dtype)
                                        : plan_desc(plan, 4, x->dl.shape, plan->dtype, layout);
  if (!desc) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->eltwise_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, function.algorithm, desc, desc,
      function.alpha, function.beta, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "eltwise") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, desc)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(1, desc)))
    return 0;
  plan->answer->may_overwrite = 1;
  plan_finish(plan, 0, share_of(plan, primitive, &function));
  return 1;
}

#define ROW(operator_name) \
  {operator_name, "eltwise", FLOATS, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

const struct kernel_row elementwise_kernels[] = {
    ROW("abs"),  ROW("elu"),     ROW("hard_swish"), ROW("leaky_relu"), ROW("neg"), ROW("round"),
    ROW("silu"), ROW("sigmoid"), ROW("sqrt"),       ROW("tanh"),       {0}};
