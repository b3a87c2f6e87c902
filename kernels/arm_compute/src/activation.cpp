#include "activation.h"

#include <cmath>
#include <cstring>

#include "arm_compute/runtime/experimental/operators/CpuActivation.h"

using arm_compute::ActivationLayerInfo;
using Function = ActivationLayerInfo::ActivationFunction;
using arm_compute::experimental::op::CpuActivation;

namespace {

/* The operators' parameters, from attributes or from an epilogue's step. */
struct Parameters {
  float alpha, beta;
  bool approximate; /* gelu's tanh */
};

ActivationLayerInfo bounded(float minimum, float maximum) {
  return {Function::LU_BOUNDED_RELU, maximum, minimum};
}

Activations find(const char *name, const Parameters &p) {
  const auto is = [name](const char *other) { return strcmp(name, other) == 0; };
  if (is("relu")) return {{Function::RELU}};
  if (is("clip")) return {bounded(p.alpha, p.beta)};
  if (is("sigmoid")) return {{Function::LOGISTIC}};
  if (is("tanh")) return {{Function::TANH, 1, 1}};
  if (is("silu")) return {{Function::SWISH, 1}};
  if (is("hard_swish")) return {{Function::HARD_SWISH}};
  if (is("hard_sigmoid")) return {{Function::LINEAR, p.alpha, p.beta}, bounded(0, 1)};
  if (is("leaky_relu")) return {{Function::LEAKY_RELU, p.alpha}};
  if (is("elu")) return {{Function::ELU, p.alpha}};
  if (is("gelu") && !p.approximate) return {{Function::GELU}};
  if (is("linear")) return {{Function::LINEAR, p.alpha, p.beta}};
  if (is("abs")) return {{Function::ABS}};
  if (is("sqrt")) return {{Function::SQRT}};
  return {};
}

}  // namespace

Activations activations_of_operator(const kp_problem &problem) {
  const bool clips = strcmp(problem.operator_name, "clip") == 0;
  const auto real = [&problem](const char *name, double otherwise) {
    return static_cast<float>(kp_real(&problem, name, 0, otherwise));
  };
  return find(problem.operator_name,
              {clips ? real("minimum", -INFINITY) : real("alpha", 0),
               clips ? real("maximum", INFINITY) : real("beta", 0),
               strcmp(kp_string(&problem, "approximate", "none"), "tanh") == 0});
}

Activations activations_of_epilogue(const kp_epilogue &step) {
  return find(step.name,
              {static_cast<float>(step.alpha), static_cast<float>(step.beta), step.alpha == 1});
}

bool activations_add(Plan &plan, const Activations &activations, TensorId x, TensorId y) {
  for (const ActivationLayerInfo &activation : activations) {
    if (!plan.accept(CpuActivation::validate(plan.info(x), plan.info(y), activation), "activation"))
      return false;
    plan.add_operator({{arm_compute::ACL_SRC, x}, {arm_compute::ACL_DST, y}},
                      [activation](const Plan::Infos &infos) {
                        auto made = std::make_unique<CpuActivation>();
                        made->configure(infos[0], infos[1], activation);
                        return made;
                      });
    plan.work({.bytes = static_cast<double>(plan.info(x)->total_size()) * 2});
    x = y;
  }
  return true;
}
