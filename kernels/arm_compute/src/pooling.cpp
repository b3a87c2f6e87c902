/* Pooling over windows and over whole images. */
#include <climits>

#include "arm_compute/runtime/NEON/functions/NEPoolingLayer.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::NEPoolingLayer;
using arm_compute::PadStrideInfo;
using arm_compute::PoolingLayerInfo;
using arm_compute::PoolingType;
using arm_compute::Size2D;

namespace {

enum { AVERAGE = 1, GLOBAL = 2 };

struct Window {
  unsigned kernel[2], strides[2], before[2], after[2];
};

bool read_axis(Plan &plan, Window &window, uint32_t axis) {
  const kp_problem *problem = plan.problem;
  const int64_t in = problem->inputs[0].dl.shape[axis + 2];
  const int64_t out = problem->outputs[0].dl.shape[axis + 2];
  const int64_t kernel = kp_integer(problem, "kernel_shape", axis, 0);
  const int64_t stride = kp_integer(problem, "strides", axis, 1);
  const int64_t dilation = kp_integer(problem, "dilations", axis, 1);
  const int64_t before = kp_integer(problem, "pads", axis, 0);
  const int64_t after = kp_integer(problem, "pads", axis + 2, 0);
  if (kernel > INT16_MAX)
    return plan.refuse_number(KP_NO_ATTRIBUTE, "kernel_shape", "1 to 32767", kernel);
  if (stride > INT16_MAX)
    return plan.refuse_number(KP_NO_ATTRIBUTE, "strides", "1 to 32767", stride);
  if (dilation != 1) return plan.refuse_number(KP_NO_ATTRIBUTE, "dilations", "1", dilation);
  /* ceil_mode's last window may reach past the padding: the library is given as much as it needs,
   * which it doesn't count either. */
  const int64_t needed = (out - 1) * stride + kernel - in - before;
  const bool overhangs = needed > after;
  if (overhangs && plan.row.parameter & AVERAGE && kp_integer(problem, "count_include_pad", 0, 0))
    return plan.refuse(KP_NO_ATTRIBUTE, "ceil_mode with count_include_pad",
                       "windows that end within the padding");
  window.kernel[axis] = static_cast<unsigned>(kernel);
  window.strides[axis] = static_cast<unsigned>(stride);
  window.before[axis] = static_cast<unsigned>(before);
  window.after[axis] = static_cast<unsigned>(overhangs ? needed : after);
  return true;
}

/* The library's half-precision maxima of 2x2 pixels take padding for zeros. */
bool keeps_padding(Plan &plan, arm_compute::DataLayout layout, const Window &w) {
  const bool pads = w.before[0] || w.before[1] || w.after[0] || w.after[1];
  if (plan.row.parameter & AVERAGE || plan.dtype != arm_compute::DataType::F16 || !pads ||
      layout != arm_compute::DataLayout::NHWC || w.kernel[0] != 2 || w.kernel[1] != 2)
    return true;
  return plan.refuse(KP_NO_ATTRIBUTE, "pads", "0 for float16 windows of 2x2");
}

bool read_info(Plan &plan, arm_compute::DataLayout layout, PoolingLayerInfo &info) {
  const PoolingType type = plan.row.parameter & AVERAGE ? PoolingType::AVG : PoolingType::MAX;
  if (plan.row.parameter & GLOBAL) {
    info = PoolingLayerInfo(type, layout);
    return true;
  }
  Window w;
  if (!read_axis(plan, w, 0) || !read_axis(plan, w, 1) || !keeps_padding(plan, layout, w))
    return false;
  const PadStrideInfo steps(w.strides[1], w.strides[0], w.before[1], w.after[1], w.before[0],
                            w.after[0], arm_compute::DimensionRoundingType::FLOOR);
  info = PoolingLayerInfo(type, Size2D(w.kernel[1], w.kernel[0]), layout, steps,
                          !kp_integer(plan.problem, "count_include_pad", 0, 0));
  return true;
}

bool build(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &x = problem.inputs[0], &y = problem.outputs[0];
  if (!plan.check_plain(1) || !plan.check_sums(plan.row.parameter & AVERAGE)) return false;
  const char *layout = !tensor_is_any(x) ? x.layout : !tensor_is_any(y) ? y.layout : "nhwc";
  if (!tensor_is_any(y) && !kp_is_layout(&y, layout))
    return plan.refuse(KP_NO_LAYOUT, "y.layout", "x's");
  plan.answer_layout(0, layout);
  plan.answer_layout(1, layout);
  const TensorId from = plan.buffer(0, tensor_info(x, layout));
  const TensorId to = plan.buffer(1, tensor_info(y, layout));
  PoolingLayerInfo info;
  if (!read_info(plan, plan.info(from)->data_layout(), info) ||
      !plan.accept(NEPoolingLayer::validate(plan.info(from), plan.info(to), info), "pooling"))
    return false;
  plan.add_function([=](Views &tensors) {
    auto made = std::make_unique<NEPoolingLayer>(nullptr);
    made->configure(&tensors[from], &tensors[to], info);
    return made;
  });
  const double overlap =
      plan.row.parameter & GLOBAL
          ? 1
          : static_cast<double>(info.pool_size.area()) /
                (info.pad_stride_info.stride().first * info.pad_stride_info.stride().second);
  plan.work({.efficiency = overlap > 1 ? 1 / overlap : 1, .bytes = layout_bytes(problem)});
  return true;
}

}  // namespace

#define ROW(operator_name, parameter) \
  {operator_name, "direct", FLOATS, KP_KERNEL_DETERMINISTIC, build, parameter, SOURCE}

extern const KernelRow pooling_kernels[];
const KernelRow pooling_kernels[] = {ROW("avg_pool2d", AVERAGE),
                                     ROW("max_pool2d", 0),
                                     ROW("global_avg_pool2d", AVERAGE | GLOBAL),
                                     ROW("global_max_pool2d", GLOBAL),
                                     {}};
