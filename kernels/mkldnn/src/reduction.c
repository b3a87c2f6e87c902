/*
 * Reductions over axes. max and min are left out: oneDNN's lose NaN.
 */
#include <string.h>

#include "cost.h"
#include "plan.h"
#include "tensor.h"

enum { MOST_RANK = 6 };

static int is_reduced(const kp_attribute *axes, int axis) {
  for (uint32_t i = 0; i < axes->count; i++)
    if (axes->integers[i] == axis) return 1;
  return 0;
}

/* Neighbouring axes that are both reduced, or both kept, become one. */
static int fold(struct plan *plan, const kp_tensor *x, const kp_attribute *axes, int64_t *source,
                int64_t *result) {
  int rank = 0, previous = -1;
  for (int axis = 0; axis < x->dl.ndim; axis++) {
    const int64_t extent = x->dl.shape[axis];
    if (extent == 1) continue;
    const int reduced = is_reduced(axes, axis);
    if (reduced != previous) {
      if (rank == MOST_RANK) {
        plan_refuse_number(plan, KP_NO_RANK, "changes between kept and reduced axes", "<= 6", rank);
        return 0;
      }
      source[rank] = result[rank] = 1;
      rank++;
      previous = reduced;
    }
    source[rank - 1] *= extent;
    if (!reduced) result[rank - 1] *= extent;
  }
  if (rank == 0) source[rank] = result[rank] = 1, rank++;
  return rank;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  const kp_attribute *axes = kp_find_attribute(problem, "axes");
  int64_t source_shape[MOST_RANK], result_shape[MOST_RANK];
  if (!plan_check_plain(plan, 1)) return 0;
  if (!axes || axes->type != KP_INTEGERS)
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "axes", "a list of integers");
  const kp_tensor *tensors[2] = {x, y};
  for (uint32_t i = 0; i < 2; i++) {
    if (!tensor_is_any(tensors[i]) && !tensor_has_layout(tensors[i], "nchw"))
      return plan_refuse(plan, KP_NO_LAYOUT, "layout", "nchw");
    plan_answer_layout(plan, i, "nchw");
  }
  const int rank = fold(plan, x, axes, source_shape, result_shape);
  if (rank == 0) return 0;
  if (memcmp(source_shape, result_shape, sizeof *source_shape * (size_t)rank) == 0)
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "axes", "some with more than one element");
  const_dnnl_memory_desc_t source = plan_desc(plan, rank, source_shape, plan->dtype, "nchw");
  const_dnnl_memory_desc_t result = plan_desc(plan, rank, result_shape, plan->dtype, "nchw");
  if (!source || !result) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->reduction_primitive_desc_create(
      &primitive, plan->engine, (dnnl_alg_kind_t)plan->row->parameter, source, result, 0, 0,
      attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "reduction") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, source)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(1, result)))
    return 0;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

#define ROW(operator_name, algorithm) {operator_name, "direct", FLOATS, 0, build, algorithm, SOURCE}

const struct kernel_row reduction_kernels[] = {ROW("mean", dnnl_reduction_mean),
                                               ROW("prod", dnnl_reduction_mul),
                                               ROW("sum", dnnl_reduction_sum),
                                               {0}};
