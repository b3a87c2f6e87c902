/*
 * batch_norm and layer_norm. The library takes a line's variance as the mean of squares less the
 * square of the mean, which loses what lies far from 0: layer_norm is for precision medium.
 */
#include "arm_compute/runtime/NEON/functions/NEBatchNormalizationLayer.h"
#include "arm_compute/runtime/NEON/functions/NEMeanStdDevNormalizationLayer.h"
#include "arm_compute/runtime/experimental/operators/CpuAdd.h"
#include "arm_compute/runtime/experimental/operators/CpuMul.h"
#include "epilogue.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::ActivationLayerInfo;
using arm_compute::ConvertPolicy;
using arm_compute::NEBatchNormalizationLayer;
using arm_compute::NEMeanStdDevNormalizationLayer;
using arm_compute::RoundingPolicy;
using arm_compute::TensorInfo;
namespace op = arm_compute::experimental::op;

namespace {

enum { SCALE = 1, BIAS, MEAN, VARIANCE };

/* Images, or anything with channels in dimension 1 as images of one row. */
TensorInfo as_images(const kp_tensor &x, const char *layout) {
  if (x.dl.ndim == 4) return tensor_info(x, layout);
  return dense_info({x.dl.shape[0], x.dl.shape[1], 1, tensor_extent(x, 2, x.dl.ndim)},
                    tensor_dtype(x));
}

bool build_batch_norm(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &x = problem.inputs[0];
  if (!plan.check_sums(true)) return false;
  const char *layout = layout_shared(plan);
  if (!layout) return false;
  const TensorInfo images = as_images(x, layout);
  const TensorInfo channels = dense_info({x.dl.shape[1]}, plan.dtype);
  const TensorId from = plan.buffer(0, images);
  TensorId parameters[5];
  for (uint32_t i = SCALE; i <= VARIANCE; i++) parameters[i] = plan.buffer(i, channels);
  const TensorId scale = parameters[SCALE], bias = parameters[BIAS], mean = parameters[MEAN],
                 variance = parameters[VARIANCE];
  const TensorId to = plan.buffer(problem.num_inputs, images);
  const float epsilon = static_cast<float>(kp_real(&problem, "epsilon", 0, 1e-5));
  const Epilogue epilogue = epilogue_split(problem);
  if (!plan.accept(NEBatchNormalizationLayer::validate(
                       plan.info(from), plan.info(to), plan.info(mean), plan.info(variance),
                       plan.info(bias), plan.info(scale), epsilon, epilogue.fused),
                   "batch normalisation"))
    return false;
  plan.add_function([=, fused = epilogue.fused](Views &tensors) {
    auto made = std::make_unique<NEBatchNormalizationLayer>();
    made->configure(&tensors[from], &tensors[to], &tensors[mean], &tensors[variance],
                    &tensors[bias], &tensors[scale], epsilon, fused);
    return made;
  });
  plan.work({.bytes = layout_bytes(problem)});
  return epilogue_add(plan, epilogue, to, layout);
}

template <typename Operator, typename... Policies>
bool add_parameter(Plan &plan, TensorId y, TensorId parameter, const char *what,
                   Policies... policies) {
  if (!plan.accept(
          Operator::validate(plan.info(y), plan.info(parameter), plan.info(y), policies...), what))
    return false;
  plan.add_operator(
      {{arm_compute::ACL_SRC_0, y}, {arm_compute::ACL_SRC_1, parameter}, {arm_compute::ACL_DST, y}},
      [=](const Plan::Infos &infos) {
        auto made = std::make_unique<Operator>();
        made->configure(infos[0], infos[1], infos[2], policies...);
        return made;
      });
  plan.work({.bytes = 2 * static_cast<double>(plan.info(y)->total_size())});
  return true;
}

bool build_layer_norm(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &x = problem.inputs[0];
  if (!plan.check_plain(3) || !layout_plain(plan)) return false;
  if (problem.precision != KP_MEDIUM)
    return plan.refuse(KP_NO_PRECISION, "precision", "medium: variances of squares");
  const int axis = static_cast<int>(kp_integer(&problem, "axis", 0, 0));
  const int64_t rows = tensor_extent(x, 0, axis), columns = tensor_extent(x, axis, x.dl.ndim);
  const TensorInfo info = dense_info({rows, columns}, plan.dtype);
  const TensorInfo parameter = dense_info({columns}, plan.dtype);
  const TensorId from = plan.buffer(0, info), to = plan.buffer(3, info);
  const float epsilon = static_cast<float>(kp_real(&problem, "epsilon", 0, 1e-5));
  if (!plan.accept(
          NEMeanStdDevNormalizationLayer::validate(plan.info(from), plan.info(to), epsilon),
          "layer normalisation"))
    return false;
  plan.add_function([=](Views &tensors) {
    auto made = std::make_unique<NEMeanStdDevNormalizationLayer>();
    made->configure(&tensors[from], &tensors[to], epsilon);
    return made;
  });
  plan.work({.efficiency = 0.5, .bytes = layout_bytes(problem)});
  return add_parameter<op::CpuMul>(plan, to, plan.buffer(SCALE, parameter), "scale", 1.0f,
                                   ConvertPolicy::SATURATE, RoundingPolicy::TO_ZERO) &&
         (kp_is_absent(&problem.inputs[BIAS]) ||
          add_parameter<op::CpuAdd>(plan, to, plan.buffer(BIAS, parameter), "bias",
                                    ConvertPolicy::SATURATE));
}

}  // namespace

#define ROW(operator_name, algorithm, dtypes, build) \
  {operator_name, algorithm, dtypes, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

extern const KernelRow normalization_kernels[];
const KernelRow normalization_kernels[] = {ROW("batch_norm", "channels", FLOATS, build_batch_norm),
                                           /* In half precision sums of squares overflow. */
                                           ROW("layer_norm", "lines", F32, build_layer_norm),
                                           {}};
