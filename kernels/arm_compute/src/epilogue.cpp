#include "epilogue.h"

#include <cstring>

#include "activation.h"
#include "arm_compute/runtime/experimental/operators/CpuAdd.h"
#include "arm_compute/runtime/experimental/operators/CpuMul.h"
#include "quantization.h"
#include "tensor.h"

using arm_compute::ConvertPolicy;
using arm_compute::RoundingPolicy;
using arm_compute::experimental::op::CpuAdd;
using arm_compute::experimental::op::CpuMul;

/* The bounds of the stored values, as real ones that the library quantises again. */
static Epilogue quantized_bounds(const kp_problem &problem) {
  const kp_tensor &y = problem.outputs[0];
  const quantized_range range = quantized_output_range(&problem);
  const float scale = quantized_scale(&y, 0);
  const auto real = [&](int32_t stored) {
    return scale * static_cast<float>(stored - quantized_zero(&y, 0));
  };
  Epilogue epilogue;
  epilogue.fused = {arm_compute::ActivationFunction::LU_BOUNDED_RELU, real(range.high),
                    real(range.low)};
  epilogue.rest = problem.num_epilogues;
  return epilogue;
}

Epilogue epilogue_split(const kp_problem &problem) {
  Epilogue epilogue;
  if (problem.num_epilogues == 0) return epilogue;
  if (problem.outputs[0].quantization) return quantized_bounds(problem);
  const kp_epilogue &first = problem.epilogues[0];
  if (strcmp(first.name, "relu") != 0 && strcmp(first.name, "clip") != 0) return epilogue;
  epilogue.fused = activations_of_epilogue(first)[0];
  epilogue.rest = 1;
  return epilogue;
}

namespace {

bool check_operand(Plan &plan, const kp_epilogue &step, const char *layout) {
  const kp_problem &problem = *plan.problem;
  if (step.input < 0 || static_cast<uint32_t>(step.input) >= problem.num_inputs)
    return plan.refuse_number(KP_NO_EPILOGUE, "epilogue's input", "an input's index", step.input);
  const auto index = static_cast<uint32_t>(step.input);
  const kp_tensor &operand = problem.inputs[index];
  if (kp_is_absent(&operand) || !tensor_same_shape(operand, problem.outputs[0]))
    return plan.refuse(KP_NO_EPILOGUE, "shape of an epilogue's input", "the output's");
  if (tensor_dtype(operand) != tensor_dtype(problem.outputs[0]))
    return plan.refuse(KP_NO_EPILOGUE, "dtype of an epilogue's input", "the output's");
  if (!tensor_is_any(operand) && !kp_is_layout(&operand, layout))
    return plan.refuse(KP_NO_LAYOUT, "layout of an epilogue's input", "the output's");
  plan.answer_layout(index, layout);
  return true;
}

bool add_sum(Plan &plan, TensorId y, TensorId operand) {
  if (!plan.accept(
          CpuAdd::validate(plan.info(y), plan.info(operand), plan.info(y), ConvertPolicy::SATURATE),
          "epilogue's add"))
    return false;
  plan.add_operator(
      {{arm_compute::ACL_SRC_0, y}, {arm_compute::ACL_SRC_1, operand}, {arm_compute::ACL_DST, y}},
      [](const Plan::Infos &infos) {
        auto made = std::make_unique<CpuAdd>();
        made->configure(infos[0], infos[1], infos[2], ConvertPolicy::SATURATE);
        return made;
      });
  return true;
}

bool add_product(Plan &plan, TensorId y, TensorId operand) {
  if (!plan.accept(CpuMul::validate(plan.info(y), plan.info(operand), plan.info(y), 1,
                                    ConvertPolicy::SATURATE, RoundingPolicy::TO_ZERO),
                   "epilogue's mul"))
    return false;
  plan.add_operator(
      {{arm_compute::ACL_SRC_0, y}, {arm_compute::ACL_SRC_1, operand}, {arm_compute::ACL_DST, y}},
      [](const Plan::Infos &infos) {
        auto made = std::make_unique<CpuMul>();
        made->configure(infos[0], infos[1], infos[2], 1, ConvertPolicy::SATURATE,
                        RoundingPolicy::TO_ZERO);
        return made;
      });
  return true;
}

}  // namespace

bool epilogue_add(Plan &plan, const Epilogue &epilogue, TensorId y, const char *layout) {
  const kp_problem &problem = *plan.problem;
  for (uint32_t i = epilogue.rest; i < problem.num_epilogues; i++) {
    const kp_epilogue &step = problem.epilogues[i];
    const bool adds = strcmp(step.name, "add") == 0;
    if (adds || strcmp(step.name, "mul") == 0) {
      if (!check_operand(plan, step, layout)) return false;
      const auto index = static_cast<uint32_t>(step.input);
      /* As the output is described, so that the shapes are the same to the library too. */
      const TensorId other = plan.buffer(index, plan.tensors[y].info);
      if (!(adds ? add_sum(plan, y, other) : add_product(plan, y, other))) return false;
      plan.work({.bytes = static_cast<double>(plan.info(y)->total_size()) * 3});
    } else {
      const Activations activations = activations_of_epilogue(step);
      if (activations.empty())
        return plan.refuse(KP_NO_EPILOGUE, step.name, "one that the Arm Compute Library has");
      if (!activations_add(plan, activations, y, y)) return false;
    }
  }
  return true;
}
