/* Operators that move elements: concat, transpose, reorder, and cast. */
#include <cstring>

#include "arm_compute/runtime/NEON/functions/NECast.h"
#include "arm_compute/runtime/NEON/functions/NEConcatenateLayer.h"
#include "arm_compute/runtime/NEON/functions/NEPermute.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::ConvertPolicy;
using arm_compute::ITensor;
using arm_compute::ITensorInfo;
using arm_compute::NECast;
using arm_compute::NEConcatenateLayer;
using arm_compute::NEPermute;
using arm_compute::PermutationVector;

namespace {

constexpr int most_permuted = 4; /* dimensions that the library's permute takes */

/* Each input is rows of the output's lines, side by side. */
bool build_concat(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  if (!plan.check_plain(problem.num_inputs)) return false;
  const char *layout = !tensor_is_any(problem.outputs[0]) ? problem.outputs[0].layout : nullptr;
  for (uint32_t i = 0; i < problem.num_inputs && !layout; i++)
    if (!tensor_is_any(problem.inputs[i])) layout = problem.inputs[i].layout;
  if (!layout) layout = "nchw";
  const int axis = static_cast<int>(kp_integer(&problem, "axis", 0, 0));
  std::vector<TensorId> parts;
  std::vector<const ITensorInfo *> infos;
  const auto rows = [&](const kp_tensor &tensor) {
    const Lines lines = layout_lines(tensor, layout, axis);
    return dense_info({lines.outer, lines.axis * lines.inner}, plan.dtype);
  };
  for (uint32_t i = 0; i <= problem.num_inputs; i++) {
    const kp_tensor &tensor = i < problem.num_inputs ? problem.inputs[i] : problem.outputs[0];
    if (!tensor_is_any(tensor) && !kp_is_layout(&tensor, layout))
      return plan.refuse(KP_NO_LAYOUT, "layouts of the inputs", "the output's");
    plan.answer_layout(i, layout);
    parts.push_back(plan.buffer(i, rows(tensor)));
  }
  const TensorId y = parts.back();
  parts.pop_back();
  for (const TensorId part : parts) infos.push_back(plan.info(part));
  if (!plan.accept(NEConcatenateLayer::validate(infos, plan.info(y), 0), "concatenation"))
    return false;
  plan.add_function([parts, y](Views &tensors) {
    std::vector<const ITensor *> inputs;
    for (const TensorId part : parts) inputs.push_back(&tensors[part]);
    auto made = std::make_unique<NEConcatenateLayer>();
    made->configure(std::move(inputs), &tensors[y], 0);
    return made;
  });
  plan.work({.bytes = layout_bytes(problem)});
  return true;
}

/* Extents from the slowest on, and for each of y's dimensions the one of x that it is. */
struct Permutation {
  std::vector<int64_t> extents;
  std::vector<int> order;
};

/* Neighbours that stay together become one; ones are dropped. */
Permutation fold(const Permutation &all) {
  const int rank = static_cast<int>(all.extents.size());
  std::vector<int> kept; /* dimensions of x that begin one of the folded */
  std::vector<int> first(all.extents.size(), -1);
  Permutation folded;
  std::vector<int> order;
  for (const int axis : all.order)
    if (all.extents[static_cast<size_t>(axis)] != 1) order.push_back(axis);
  const auto follows = [&](int before, int axis) {
    for (int i = before + 1; i < axis; i++)
      if (all.extents[static_cast<size_t>(i)] != 1) return false;
    return before < axis;
  };
  std::vector<std::vector<int>> groups;
  for (const int axis : order) {
    if (!groups.empty() && follows(groups.back().back(), axis))
      groups.back().push_back(axis);
    else
      groups.push_back({axis});
  }
  for (int axis = 0; axis < rank; axis++)
    for (const auto &group : groups)
      if (group[0] == axis) {
        int64_t extent = 1;
        for (const int member : group) extent *= all.extents[static_cast<size_t>(member)];
        first[static_cast<size_t>(axis)] = static_cast<int>(folded.extents.size());
        folded.extents.push_back(extent);
      }
  for (const auto &group : groups) folded.order.push_back(first[static_cast<size_t>(group[0])]);
  return folded;
}

bool add_permute(Plan &plan, const Permutation &all) {
  const Permutation p = fold(all);
  const int rank = static_cast<int>(p.extents.size());
  if (rank < 2) return plan.refuse(KP_NO_ATTRIBUTE, "permutation", "one that moves elements");
  if (rank > most_permuted)
    return plan.refuse_number(KP_NO_RANK, "dimensions that move apart", "<= 4", rank);
  arm_compute::TensorShape from, to;
  PermutationVector permutation;
  /* The library's dimension 0 is the fastest. */
  for (int i = 0; i < rank; i++) {
    const auto at = static_cast<size_t>(rank - 1 - i);
    const auto axis = static_cast<size_t>(p.order[static_cast<size_t>(i)]);
    from.set(at, static_cast<size_t>(p.extents[static_cast<size_t>(i)]), false);
    to.set(at, static_cast<size_t>(p.extents[axis]), false);
    permutation.set(at, static_cast<unsigned>(rank - 1) - static_cast<unsigned>(axis));
  }
  const TensorId x = plan.buffer(0, arm_compute::TensorInfo(from, 1, plan.dtype));
  const TensorId y = plan.buffer(1, arm_compute::TensorInfo(to, 1, plan.dtype));
  if (!plan.accept(NEPermute::validate(plan.info(x), plan.info(y), permutation), "permutation"))
    return false;
  plan.add_function([=](Views &tensors) {
    auto made = std::make_unique<NEPermute>();
    made->configure(&tensors[x], &tensors[y], permutation);
    return made;
  });
  plan.work({.efficiency = 0.1, .bytes = layout_bytes(*plan.problem)});
  return true;
}

bool build_transpose(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  if (!plan.check_plain(1) || !layout_plain(plan)) return false;
  Permutation all;
  for (int i = 0; i < problem.inputs[0].dl.ndim; i++) {
    all.extents.push_back(problem.inputs[0].dl.shape[i]);
    all.order.push_back(
        static_cast<int>(kp_integer(&problem, "permutation", static_cast<uint32_t>(i), 0)));
  }
  return add_permute(plan, all);
}

bool build_reorder(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &x = problem.inputs[0], &y = problem.outputs[0];
  if (!plan.check_plain(1)) return false;
  const bool forth = kp_is_layout(&x, "nchw") && kp_is_layout(&y, "nhwc");
  const bool back = kp_is_layout(&x, "nhwc") && kp_is_layout(&y, "nchw");
  if (!forth && !back) return plan.refuse(KP_NO_LAYOUT, "layouts", "nchw to nhwc or back");
  const int64_t *shape = x.dl.shape;
  if (forth) return add_permute(plan, {{shape[0], shape[1], shape[2], shape[3]}, {0, 2, 3, 1}});
  return add_permute(plan, {{shape[0], shape[2], shape[3], shape[1]}, {0, 3, 1, 2}});
}

/* Between floating types: the library's integers saturate or wrap as the operator's don't. */
bool build_cast(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &y = problem.outputs[0];
  if (problem.num_epilogues)
    return plan.refuse_number(KP_NO_EPILOGUE, "steps of the epilogue", "0", problem.num_epilogues);
  const auto to = tensor_dtype(y);
  if (y.dl.dtype.code != kDLFloat || to == plan.dtype)
    return plan.refuse(KP_NO_DTYPE, "y.dtype", "another floating type");
  if (!layout_shared(plan)) return false;
  const TensorId from = plan.buffer(0, layout_row(problem.inputs[0]));
  const TensorId result = plan.buffer(1, layout_row(y));
  if (!plan.accept(NECast::validate(plan.info(from), plan.info(result), ConvertPolicy::SATURATE),
                   "cast"))
    return false;
  plan.add_function([=](Views &tensors) {
    auto made = std::make_unique<NECast>();
    made->configure(&tensors[from], &tensors[result], ConvertPolicy::SATURATE);
    return made;
  });
  plan.work({.bytes = layout_bytes(problem)});
  return true;
}

}  // namespace

#define ROW(operator_name, algorithm, dtypes, build) \
  {operator_name, algorithm, dtypes, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

extern const KernelRow movement_kernels[];
const KernelRow movement_kernels[] = {ROW("cast", "convert", FLOATS, build_cast),
                                      ROW("concat", "rows", FLOATS, build_concat),
                                      ROW("reorder", "permute", FLOATS, build_reorder),
                                      ROW("transpose", "permute", FLOATS, build_transpose),
                                      {}};
