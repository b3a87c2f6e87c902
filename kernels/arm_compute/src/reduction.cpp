/*
 * Reductions over neighbouring axes. max and min are left out: the library's lose NaN. mean's
 * bits change with the number of threads.
 */
#include "arm_compute/runtime/NEON/functions/NEReductionOperation.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::NEReductionOperation;
using arm_compute::ReductionOperation;
using arm_compute::TensorInfo;

namespace {

/* x as (outer, reduced, inner); false where the reduced axes have others between them. */
bool fold(const kp_problem &problem, Lines &lines) {
  const kp_tensor &x = problem.inputs[0];
  const kp_attribute *axes = kp_find_attribute(&problem, "axes");
  bool reduced[64] = {};
  for (uint32_t i = 0; i < axes->count; i++) reduced[axes->integers[i]] = true;
  lines = {1, 1, 1};
  int64_t *part = &lines.outer;
  for (int i = 0; i < x.dl.ndim; i++) {
    const int64_t extent = x.dl.shape[i];
    if (extent == 1) continue;
    if (reduced[i] && part == &lines.outer) part = &lines.axis;
    if (!reduced[i] && part == &lines.axis) part = &lines.inner;
    if (reduced[i] && part == &lines.inner) return false;
    *part *= extent;
  }
  return true;
}

bool build(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const auto operation = static_cast<ReductionOperation>(plan.row.parameter);
  Lines lines;
  if (!plan.check_plain(1) || !plan.check_sums(true) || !layout_plain(plan)) return false;
  if (!fold(problem, lines)) return plan.refuse(KP_NO_ATTRIBUTE, "axes", "neighbouring ones");
  if (lines.axis == 1)
    return plan.refuse(KP_NO_ATTRIBUTE, "axes", "some with more than one element");
  const bool inner = lines.inner > 1;
  const auto shaped = [&](int64_t extent) {
    return inner ? dense_info({lines.outer, extent, lines.inner}, plan.dtype)
                 : dense_info({lines.outer, extent}, plan.dtype);
  };
  const unsigned axis = inner ? 1 : 0;
  const TensorId x = plan.buffer(0, shaped(lines.axis)), y = plan.buffer(1, shaped(1));
  if (!plan.accept(NEReductionOperation::validate(plan.info(x), plan.info(y), axis, operation),
                   "reduction"))
    return false;
  plan.add_function([=](Views &tensors) {
    auto made = std::make_unique<NEReductionOperation>(nullptr);
    made->configure(&tensors[x], &tensors[y], axis, operation);
    return made;
  });
  plan.work({.bytes = layout_bytes(problem)});
  return true;
}

}  // namespace

#define ROW(operator_name, flags, operation) \
  {operator_name, "lines", FLOATS, flags, build, static_cast<int>(operation), SOURCE}

extern const KernelRow reduction_kernels[];
const KernelRow reduction_kernels[] = {
    ROW("mean", 0, ReductionOperation::MEAN_SUM),
    ROW("prod", KP_KERNEL_DETERMINISTIC, ReductionOperation::PROD),
    ROW("sum", KP_KERNEL_DETERMINISTIC, ReductionOperation::SUM),
    {}};
