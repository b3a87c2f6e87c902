/*
 * Functions of two tensors with broadcasting. pow is left out: the library's is inexact, and isn't
 * the operator's at infinity.
 */
#include <type_traits>

#include "arm_compute/runtime/NEON/functions/NEPReluLayer.h"
#include "arm_compute/runtime/experimental/operators/CpuAdd.h"
#include "arm_compute/runtime/experimental/operators/CpuElementwise.h"
#include "arm_compute/runtime/experimental/operators/CpuMul.h"
#include "arm_compute/runtime/experimental/operators/CpuSub.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::ConvertPolicy;
using arm_compute::ITensorInfo;
using arm_compute::RoundingPolicy;
using arm_compute::Status;
using arm_compute::TensorInfo;
using arm_compute::TensorShape;
namespace op = arm_compute::experimental::op;

namespace {

/* Extents in the order of the bytes, the slowest first. */
using Extents = std::vector<int64_t>;

Extents stored_extents(const kp_tensor &tensor, const char *layout, int rank) {
  const int64_t *shape = tensor.dl.shape;
  if (kp_is_layout(&tensor, layout) || tensor_is_any(tensor)) {
    if (layout[1] == 'h' && tensor.dl.ndim == 4) return {shape[0], shape[2], shape[3], shape[1]};
  }
  Extents extents(static_cast<size_t>(rank), 1);
  for (int i = 0; i < tensor.dl.ndim; i++)
    extents[static_cast<size_t>(rank - tensor.dl.ndim + i)] = shape[i];
  return extents;
}

/* Neighbouring dimensions that broadcast alike are one; ones are dropped. */
struct Folded {
  Extents a, b, y;
};

Folded fold(const Extents &a, const Extents &b, const Extents &y) {
  Folded folded;
  int previous = -1;
  for (size_t i = 0; i < y.size(); i++) {
    if (y[i] == 1) continue;
    const int kind = (a[i] == 1) * 2 + (b[i] == 1);
    if (kind != previous) {
      folded.a.push_back(1), folded.b.push_back(1), folded.y.push_back(1);
      previous = kind;
    }
    folded.a.back() *= a[i], folded.b.back() *= b[i], folded.y.back() *= y[i];
  }
  return folded;
}

TensorInfo described(const Extents &extents, arm_compute::DataType dtype) {
  TensorShape shape;
  for (size_t i = 0; i < extents.size(); i++)
    shape.set(extents.size() - 1 - i, static_cast<size_t>(extents[i]), false);
  if (extents.empty()) shape.set(0, 1, false);
  TensorInfo info(shape, 1, dtype);
  info.set_are_values_constant(false);
  return info;
}

struct Operands {
  TensorId a, b, y;
};

/*
 * In an image's layout an operand of another shape lies in the logical order, so that it must be
 * one that is the same either way: of one element, or one vector of channels.
 */
bool same_either_way(const kp_tensor &operand) {
  int wider = 0;
  for (int i = 0; i < operand.dl.ndim; i++) wider += operand.dl.shape[i] != 1;
  return wider <= 1;
}

bool add_operands(Plan &plan, Operands &operands) {
  const kp_problem &problem = *plan.problem;
  if (!plan.check_plain(2)) return false;
  const char *layout = layout_shared(plan);
  if (!layout) return false;
  const kp_tensor &y = problem.outputs[0];
  Extents stored[2];
  for (uint32_t i = 0; i < 2; i++) {
    kp_tensor input = problem.inputs[i];
    const bool same = tensor_same_shape(input, y);
    if (layout[1] == 'h' && !same) {
      if (!same_either_way(input))
        return plan.refuse(KP_NO_LAYOUT, "layout of an input that broadcasts", "the logical order");
      /* As if it had the output's rank and lay as the output does. */
      Extents logical(4, 1);
      for (int d = 0; d < input.dl.ndim; d++)
        logical[static_cast<size_t>(4 - input.dl.ndim + d)] = input.dl.shape[d];
      stored[i] = {logical[0], logical[2], logical[3], logical[1]};
    } else {
      stored[i] = stored_extents(input, same ? layout : "nchw", y.dl.ndim);
    }
  }
  const Folded folded = fold(stored[0], stored[1], stored_extents(y, layout, y.dl.ndim));
  if (folded.y.size() > 4)
    return plan.refuse_number(KP_NO_RANK, "changes of broadcasting along the axes", "<= 4",
                              static_cast<int64_t>(folded.y.size()));
  operands.a = plan.buffer(0, described(folded.a, plan.dtype));
  operands.b = plan.buffer(1, described(folded.b, plan.dtype));
  operands.y = plan.buffer(2, described(folded.y, plan.dtype));
  for (uint32_t i = 0; i < 2; i++)
    if (tensor_same_shape(problem.inputs[i], y)) plan.answer->may_overwrite |= UINT64_C(1) << i;
  plan.work({.bytes = layout_bytes(problem)});
  return true;
}

/* What the operators' configure() and validate() take beside the tensors. */
struct Nothing {};
struct Saturating {};
struct Scaling {};

template <typename Operator, typename Policy>
bool build(Plan &plan) {
  Operands o;
  if (!add_operands(plan, o)) return false;
  const auto pass = [](auto &&call) {
    if constexpr (std::is_same_v<Policy, Saturating>)
      return call(ConvertPolicy::SATURATE);
    else if constexpr (std::is_same_v<Policy, Scaling>)
      return call(1.0f, ConvertPolicy::SATURATE, RoundingPolicy::TO_ZERO);
    else
      return call();
  };
  const Status status = pass([&](auto... policy) {
    return Operator::validate(plan.info(o.a), plan.info(o.b), plan.info(o.y), policy...);
  });
  if (!plan.accept(status, "function of two tensors")) return false;
  plan.add_operator(
      {{arm_compute::ACL_SRC_0, o.a}, {arm_compute::ACL_SRC_1, o.b}, {arm_compute::ACL_DST, o.y}},
      [pass](const Plan::Infos &infos) {
        auto made = std::make_unique<Operator>();
        pass([&](auto... policy) { made->configure(infos[0], infos[1], infos[2], policy...); });
        return made;
      });
  return true;
}

template <typename Function>
bool build_function(Plan &plan) {
  Operands o;
  if (!add_operands(plan, o) ||
      !plan.accept(Function::validate(plan.info(o.a), plan.info(o.b), plan.info(o.y)),
                   "function of two tensors"))
    return false;
  plan.add_function([o](Views &tensors) {
    auto made = std::make_unique<Function>();
    made->configure(&tensors[o.a], &tensors[o.b], &tensors[o.y]);
    return made;
  });
  return true;
}

}  // namespace

#define ROW(operator_name, build) \
  {operator_name, "binary", FLOATS, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

extern const KernelRow binary_kernels[];
const KernelRow binary_kernels[] = {ROW("add", (build<op::CpuAdd, Saturating>)),
                                    ROW("sub", (build<op::CpuSub, Saturating>)),
                                    ROW("mul", (build<op::CpuMul, Scaling>)),
                                    ROW("div", (build<op::CpuElementwiseDivision, Nothing>)),
                                    ROW("maximum", (build<op::CpuElementwiseMax, Nothing>)),
                                    ROW("minimum", (build<op::CpuElementwiseMin, Nothing>)),
                                    ROW("prelu", build_function<arm_compute::NEPReluLayer>),
                                    {}};
