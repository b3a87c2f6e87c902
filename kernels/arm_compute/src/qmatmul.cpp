/*
 * qmatmul, as a convolution of one pixel: rows are pixels of a quantised image with the products'
 * inner extent as channels, and b's columns are filters, for which the library has scales for each
 * channel too.
 */
#include <cstring>

#include "arm_compute/runtime/experimental/operators/CpuGemmConv2d.h"
#include "epilogue.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::ActivationLayerInfo;
using arm_compute::DataLayout;
using arm_compute::ITensorInfo;
using arm_compute::PadStrideInfo;
using arm_compute::Size2D;
using arm_compute::TensorInfo;
using arm_compute::TensorShape;
using arm_compute::WeightsInfo;
using arm_compute::experimental::op::CpuGemmConv2d;

namespace {

/* The tensor's dtype and quantisation in the library's shape (channels, width, height, number). */
TensorInfo by_pixel(const kp_tensor &tensor, int64_t channels, int64_t width, int64_t number) {
  TensorInfo info = tensor_info(tensor, "nchw");
  info.set_tensor_shape(TensorShape(static_cast<size_t>(channels), static_cast<size_t>(width), 1,
                                    static_cast<size_t>(number)));
  info.set_data_layout(DataLayout::NHWC);
  return info;
}

void turn(const uint8_t *b, uint8_t *turned, int64_t inner, int64_t columns) {
  for (int64_t k = 0; k < inner; k++)
    for (int64_t n = 0; n < columns; n++) turned[n * inner + k] = b[k * columns + n];
}

bool build(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &a = problem.inputs[0], &b = problem.inputs[1], &y = problem.outputs[0];
  if (!plan.check_quantized_constants() || !layout_plain(plan)) return false;
  if (tensor_dtype(y) != plan.dtype) return plan.refuse(KP_NO_DTYPE, "y.dtype", "a.dtype");
  const int64_t inner = a.dl.shape[a.dl.ndim - 1], columns = y.dl.shape[y.dl.ndim - 1];
  const int64_t rows = kp_elements(&a) / inner;
  if (kp_elements(&b) != inner * columns || rows * columns != kp_elements(&y))
    return plan.refuse(KP_NO_SHAPE, "b.shape", "one matrix for all of a");
  const bool has_bias = !kp_is_absent(&problem.inputs[2]);
  const TensorId from = plan.buffer(1, tensor_info(b, "nchw"));
  const TensorInfo turned = by_pixel(b, inner, 1, columns);
  const TensorId w = plan.kept(turned);
  plan.add_code(
      [=](Views &tensors) { turn(tensors[from].buffer(), tensors[w].buffer(), inner, columns); },
      true);
  const TensorId x = plan.buffer(0, by_pixel(a, inner, rows, 1));
  const TensorId to = plan.buffer(problem.num_inputs, by_pixel(y, columns, rows, 1));
  const PadStrideInfo steps(1, 1, 0, 0);
  const ActivationLayerInfo fused = epilogue_split(problem).fused;
  std::vector<Plan::Argument> arguments = {
      {arm_compute::ACL_SRC_0, x}, {arm_compute::ACL_SRC_1, w}, {arm_compute::ACL_DST, to}};
  if (has_bias)
    arguments.push_back(
        {arm_compute::ACL_SRC_2, plan.copied(2, tensor_info(problem.inputs[2], "nchw"))});
  if (!plan.accept(
          CpuGemmConv2d::validate(plan.info(x), plan.info(w),
                                  has_bias ? plan.info(arguments.back().tensor) : nullptr,
                                  plan.info(to), steps, WeightsInfo(), Size2D(1, 1), fused),
          "quantised product"))
    return false;
  plan.binds_constants = true;
  plan.add_operator(std::move(arguments), [=](const Plan::Infos &infos) {
    auto made = std::make_unique<CpuGemmConv2d>();
    made->configure(infos[0], infos[1], has_bias ? infos[3] : nullptr, infos[2], steps,
                    WeightsInfo(), Size2D(1, 1), fused);
    return made;
  });
  plan.work({2.0 * static_cast<double>(kp_elements(&y)) * static_cast<double>(inner), 0.6,
             layout_bytes(problem)});
  return true;
}

}  // namespace

extern const KernelRow qmatmul_kernels[];
const KernelRow qmatmul_kernels[] = {
    {"qmatmul", "gemm", QUANTIZED, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}, {}};
