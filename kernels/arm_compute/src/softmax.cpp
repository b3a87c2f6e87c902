/* softmax and log_softmax along one axis. */
#include "arm_compute/runtime/experimental/operators/CpuSoftmax.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::TensorInfo;
using arm_compute::experimental::op::CpuSoftmax;

namespace {

enum { LOGARITHM = 1 };

/* The library adds up a line in one go, whose error grows with its length. */
constexpr int64_t longest_exact_line = 8192;

bool build(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  if (!plan.check_plain(1) || !plan.check_sums(true)) return false;
  const char *layout = layout_shared(plan);
  if (!layout) return false;
  const int axis = static_cast<int>(kp_integer(&problem, "axis", 0, 0));
  const Lines lines = layout_lines(problem.inputs[0], layout, axis);
  if (lines.axis > longest_exact_line && problem.precision != KP_MEDIUM)
    return plan.refuse_number(KP_NO_PRECISION, "extent along the axis", "<= 8192 above medium",
                              lines.axis);
  if (plan.row.parameter == LOGARITHM && problem.precision != KP_MEDIUM)
    return plan.refuse(KP_NO_PRECISION, "precision", "medium: the library's function is inexact");
  /* The library's axes count from the fastest. */
  const bool inner = lines.inner > 1;
  const TensorInfo info = inner ? dense_info({lines.outer, lines.axis, lines.inner}, plan.dtype)
                                : dense_info({lines.outer, lines.axis}, plan.dtype);
  const int32_t position = inner ? 1 : 0;
  const bool logarithm = plan.row.parameter == LOGARITHM;
  const TensorId x = plan.buffer(0, info), y = plan.buffer(1, info);
  if (!plan.accept(CpuSoftmax::validate(&info, &info, 1, position, logarithm), "softmax"))
    return false;
  plan.add_operator({{arm_compute::ACL_SRC, x}, {arm_compute::ACL_DST, y}},
                    [=](const Plan::Infos &infos) {
                      auto made = std::make_unique<CpuSoftmax>();
                      made->configure(infos[0], infos[1], 1, position, logarithm);
                      return made;
                    });
  plan.work({.efficiency = inner ? 0.1 : 0.3, .bytes = layout_bytes(problem)});
  return true;
}

}  // namespace

#define ROW(operator_name, parameter) \
  {operator_name, "lines", FLOATS, KP_KERNEL_DETERMINISTIC, build, parameter, SOURCE}

extern const KernelRow softmax_kernels[];
const KernelRow softmax_kernels[] = {ROW("log_softmax", LOGARITHM), ROW("softmax", 0), {}};
