/*
 * Functions of one tensor, element by element: the library's activations and its others. Left out,
 * since the library's result isn't the operator's: floor makes 0 of NaN, log a number of NaN and of
 * infinity, rsqrt NaN of infinity.
 */
#include "activation.h"
#include "arm_compute/runtime/NEON/functions/NEElementwiseUnaryLayer.h"
#include "layout.h"
#include "tensor.h"

namespace {

/* By more than its bound. */
enum { INEXACT = F32 | F16, INEXACT_HALF = F16 };

struct Ends {
  TensorId x, y;
};

bool add_ends(Plan &plan, Ends &ends) {
  if (!plan.check_plain(1) || !layout_shared(plan)) return false;
  const int dtype = plan.dtype == arm_compute::DataType::F16 ? F16 : F32;
  if (plan.row.parameter & dtype && plan.problem->precision != KP_MEDIUM)
    return plan.refuse(KP_NO_PRECISION, "precision", "medium: the library's function is inexact");
  ends.x = plan.buffer(0, layout_row(plan.problem->inputs[0]));
  ends.y = plan.buffer(1, layout_row(plan.problem->outputs[0]));
  plan.answer->may_overwrite = 1;
  return true;
}

bool build_activation(Plan &plan) {
  Ends ends;
  if (!add_ends(plan, ends)) return false;
  const Activations activations = activations_of_operator(*plan.problem);
  if (activations.empty()) return plan.refuse(KP_NO_ATTRIBUTE, "approximate", "none");
  return activations_add(plan, activations, ends.x, ends.y);
}

template <typename Function>
bool build_function(Plan &plan) {
  Ends ends;
  if (!add_ends(plan, ends) ||
      !plan.accept(Function::validate(plan.info(ends.x), plan.info(ends.y)), "function"))
    return false;
  plan.add_function([ends](Views &tensors) {
    auto made = std::make_unique<Function>();
    made->configure(&tensors[ends.x], &tensors[ends.y]);
    return made;
  });
  plan.work({.bytes = layout_bytes(*plan.problem)});
  return true;
}

}  // namespace

#define ROW(operator_name, algorithm, build, parameter) \
  {operator_name, algorithm, FLOATS, KP_KERNEL_DETERMINISTIC, build, parameter, SOURCE}
#define ACTIVATION(operator_name, inexact) \
  ROW(operator_name, "activation", build_activation, inexact)
#define FUNCTION(operator_name, type) \
  ROW(operator_name, "unary", build_function<arm_compute::type>, 0)

extern const KernelRow elementwise_kernels[];
const KernelRow elementwise_kernels[] = {ACTIVATION("abs", 0),
                                         ACTIVATION("clip", 0),
                                         ACTIVATION("elu", INEXACT_HALF),
                                         ACTIVATION("gelu", INEXACT_HALF),
                                         ACTIVATION("hard_sigmoid", INEXACT_HALF),
                                         ACTIVATION("hard_swish", INEXACT_HALF),
                                         ACTIVATION("leaky_relu", 0),
                                         ACTIVATION("relu", 0),
                                         ACTIVATION("sigmoid", INEXACT_HALF),
                                         ACTIVATION("silu", INEXACT_HALF),
                                         ACTIVATION("sqrt", 0),
                                         ACTIVATION("tanh", INEXACT),
                                         FUNCTION("exp", NEExpLayer),
                                         FUNCTION("neg", NENegLayer),
                                         FUNCTION("round", NERoundLayer),
                                         {}};
