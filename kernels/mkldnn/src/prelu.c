/* Leaky ReLU with a slope for each element, channel or tensor. */
#include <string.h>

#include "cost.h"
#include "folding.h"
#include "tensor.h"

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *y = problem->outputs;
  if (!plan_check_plain(plan, 2)) return 0;
  const kp_tensor *x = &problem->inputs[0], *slope = &problem->inputs[1];
  const int rank = x->dl.ndim, missing = rank - slope->dl.ndim;
  if (rank < 1 || rank > 5) return plan_refuse_number(plan, KP_NO_RANK, "x.rank", "1 to 5", rank);
  if (missing < 0 || !tensor_same_shape(x, y))
    return plan_refuse(plan, KP_NO_SHAPE, "slope.shape", "one that broadcasts to x's");
  if (tensor_dtype(slope) != plan->dtype)
    return plan_refuse(plan, KP_NO_DTYPE, "slope.dtype", "x.dtype");
  const char *layout = fold_shared_layout(plan);
  if (!layout) return 0;
  const int same = tensor_same_shape(x, slope);
  if (!same && !tensor_is_any(slope) && !tensor_has_layout(slope, "nchw"))
    return plan_refuse(plan, KP_NO_LAYOUT, "slope.layout", "nchw");
  int64_t shape[5];
  for (int i = 0; i < rank; i++) {
    shape[i] = i < missing ? 1 : slope->dl.shape[i - missing];
    if (shape[i] != 1 && shape[i] != x->dl.shape[i])
      return plan_refuse(plan, KP_NO_SHAPE, "slope.shape", "one that broadcasts to x's");
  }
  const_dnnl_memory_desc_t desc = plan_desc(plan, rank, x->dl.shape, plan->dtype, layout);
  const_dnnl_memory_desc_t own = plan_desc(plan, rank, shape, plan->dtype, same ? layout : "nchw");
  const_dnnl_memory_desc_t any = plan_desc_any(plan, rank, shape, plan->dtype);
  if (!desc || !own || !any) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->prelu_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, desc, any, desc, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "prelu")) return 0;
  const struct place weights =
      plan_input(plan, 1, own, plan_query(primitive, plan, dnnl_query_weights_md, 0));
  if (!plan_step(plan, primitive) || !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, desc)) ||
      !plan_argument(plan, DNNL_ARG_WEIGHTS, weights) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(2, desc)))
    return 0;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

const struct kernel_row prelu_kernels[] = {
    {"prelu", "direct", FLOATS, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}, {0}};
