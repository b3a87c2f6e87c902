/*
 * conv2d and qconv2d. "gemm" copies windows into a matrix where it must, "implicit_gemm" reads them
 * where they lie, "direct" sums without a product of matrices, "winograd" and "depthwise" are what
 * they say. Constant weights are packed once; those that aren't are packed at each run, by the two
 * kernels that can.
 */
#include <climits>
#include <cstring>

#include "arm_compute/runtime/NEON/functions/NEDirectConvolutionLayer.h"
#include "arm_compute/runtime/experimental/operators/CpuDepthwiseConv2d.h"
#include "arm_compute/runtime/experimental/operators/CpuGemmConv2d.h"
#include "arm_compute/runtime/experimental/operators/CpuGemmDirectConv2d.h"
#include "arm_compute/runtime/experimental/operators/CpuWinogradConv2d.h"
#include "epilogue.h"
#include "tensor.h"

using arm_compute::ActivationLayerInfo;
using arm_compute::Conv2dInfo;
using arm_compute::ITensorInfo;
using arm_compute::PadStrideInfo;
using arm_compute::Size2D;
using arm_compute::Status;
using arm_compute::TensorInfo;
using arm_compute::WeightsInfo;
namespace op = arm_compute::experimental::op;

namespace {

struct Convolution {
  const kp_tensor *x, *w, *bias, *y;
  const char *layout;
  int64_t groups;
  PadStrideInfo window;
  Size2D dilation;
  Epilogue epilogue;
  bool fast_math;

  double products() const {
    const int64_t *shape = w->dl.shape;
    return 2.0 * static_cast<double>(kp_elements(y)) *
           static_cast<double>(shape[1] * shape[2] * shape[3]);
  }
};

bool read_window(Plan &plan, Convolution &c) {
  const kp_problem *problem = plan.problem;
  int64_t strides[2], dilations[2], pads[4];
  for (uint32_t i = 0; i < 2; i++) {
    strides[i] = kp_integer(problem, "strides", i, 1);
    dilations[i] = kp_integer(problem, "dilations", i, 1);
    if (strides[i] > INT16_MAX)
      return plan.refuse_number(KP_NO_ATTRIBUTE, "strides", "1 to 32767", strides[i]);
    if (dilations[i] > INT16_MAX)
      return plan.refuse_number(KP_NO_ATTRIBUTE, "dilations", "1 to 32767", dilations[i]);
  }
  for (uint32_t i = 0; i < 4; i++) {
    pads[i] = kp_integer(problem, "pads", i, 0);
    if (pads[i] > INT16_MAX)
      return plan.refuse_number(KP_NO_ATTRIBUTE, "pads", "0 to 32767", pads[i]);
  }
  const auto unsigned_of = [](int64_t value) { return static_cast<unsigned>(value); };
  c.window = PadStrideInfo(unsigned_of(strides[1]), unsigned_of(strides[0]), unsigned_of(pads[1]),
                           unsigned_of(pads[3]), unsigned_of(pads[0]), unsigned_of(pads[2]),
                           arm_compute::DimensionRoundingType::FLOOR);
  c.dilation = Size2D(static_cast<size_t>(dilations[1]), static_cast<size_t>(dilations[0]));
  return true;
}

/* The layout of the images: what one of them names, else the library's own. */
bool read_layout(Plan &plan, Convolution &c) {
  c.layout = !tensor_is_any(*c.x) ? c.x->layout : !tensor_is_any(*c.y) ? c.y->layout : "nhwc";
  if (!tensor_is_any(*c.y) && !kp_is_layout(c.y, c.layout))
    return plan.refuse(KP_NO_LAYOUT, "y.layout", "x's");
  if (!kp_is_layout(c.w, "nchw") && !tensor_is_any(*c.w))
    return plan.refuse(KP_NO_LAYOUT, "w.layout", "nchw");
  plan.answer_layout(0, c.layout);
  plan.answer_layout(1, "nchw");
  if (c.bias) plan.answer_layout(2, "nchw");
  plan.answer_layout(plan.problem->num_inputs, c.layout);
  return true;
}

bool read_problem(Plan &plan, Convolution &c) {
  const kp_problem &problem = *plan.problem;
  c.x = &problem.inputs[0];
  c.w = &problem.inputs[1];
  c.bias = kp_is_absent(&problem.inputs[2]) ? nullptr : &problem.inputs[2];
  c.y = &problem.outputs[0];
  c.groups = kp_integer(&problem, "groups", 0, 1);
  c.fast_math = problem.precision == KP_MEDIUM;
  c.epilogue = epilogue_split(problem);
  if (tensor_dtype(*c.y) != plan.dtype) return plan.refuse(KP_NO_DTYPE, "y.dtype", "x.dtype");
  return plan.check_sums(true) && plan.check_quantized_constants() && read_window(plan, c) &&
         read_layout(plan, c);
}

/* (O, I, h, w) to (O, h, w, I), as "nhwc" has it. */
template <typename Element>
void channels_last(const void *from, void *to, int64_t outputs, int64_t inputs, int64_t area) {
  const Element *w = static_cast<const Element *>(from);
  Element *packed = static_cast<Element *>(to);
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t i = 0; i < inputs; i++)
      for (int64_t p = 0; p < area; p++)
        packed[(o * area + p) * inputs + i] = w[(o * inputs + i) * area + p];
}

struct Tensors {
  TensorId x, w, bias, y;
  bool has_bias;
};

/* The weights in the images' layout (a depthwise convolution's are one filter of all channels),
 * rearranged where that moves them. */
TensorId weights(Plan &plan, const Convolution &c, bool depthwise) {
  const int64_t *shape = c.w->dl.shape;
  const int64_t outputs = depthwise ? 1 : shape[0], inputs = depthwise ? shape[0] : shape[1];
  const int64_t area = shape[2] * shape[3];
  int64_t extents[4] = {outputs, inputs, shape[2], shape[3]};
  kp_tensor described = *c.w;
  described.dl.shape = extents;
  const TensorInfo info = tensor_info(described, c.layout);
  if (strcmp(c.layout, "nhwc") != 0 || area == 1 || inputs == 1) return plan.buffer(1, info);
  const bool once = kp_is_constant(c.w);
  const TensorId from = plan.buffer(1, tensor_info(*c.w, "nchw"));
  const TensorId to = once ? plan.kept(info) : plan.scratch(info);
  const auto move = info.element_size() == 4   ? channels_last<uint32_t>
                    : info.element_size() == 2 ? channels_last<uint16_t>
                                               : channels_last<uint8_t>;
  plan.add_code(
      [=](Views &tensors) {
        move(tensors[from].buffer(), tensors[to].buffer(), outputs, inputs, area);
      },
      once);
  return to;
}

Tensors add_tensors(Plan &plan, const Convolution &c, bool depthwise) {
  Tensors tensors{};
  tensors.x = plan.buffer(0, tensor_info(*c.x, c.layout));
  tensors.w = weights(plan, c, depthwise);
  tensors.has_bias = c.bias != nullptr;
  if (c.bias) {
    const TensorInfo info = tensor_info(*c.bias, "nchw");
    /* What packs the bias with the weights may keep its address instead. */
    const bool kept = plan.is_quantized() || (depthwise && kp_is_constant(c.w));
    tensors.bias = kept ? plan.copied(2, info) : plan.buffer(2, info);
  }
  tensors.y = plan.buffer(plan.problem->num_inputs, tensor_info(*c.y, c.layout));
  plan.binds_constants = kp_is_constant(c.w);
  return tensors;
}

const ITensorInfo *bias_info(const Plan &plan, const Tensors &tensors) {
  return tensors.has_bias ? plan.info(tensors.bias) : nullptr;
}

/* Adds an operator over x, w, the bias and y: `configure` is given their descriptions. */
template <typename Operator, typename Configure, typename... Options>
void add_convolution(Plan &plan, const Tensors &t, Configure configure, Options... options) {
  std::vector<Plan::Argument> arguments = {
      {arm_compute::ACL_SRC_0, t.x}, {arm_compute::ACL_SRC_1, t.w}, {arm_compute::ACL_DST, t.y}};
  if (t.has_bias) arguments.push_back({arm_compute::ACL_SRC_2, t.bias});
  plan.add_operator(std::move(arguments), [=](const Plan::Infos &infos) {
    auto made = std::make_unique<Operator>(options...);
    configure(*made, infos[0], infos[1], infos.size() > 3 ? infos[3] : nullptr, infos[2]);
    return made;
  });
}

bool finish(Plan &plan, const Convolution &c, const Tensors &tensors, double flops,
            double efficiency, double extra_bytes = 0) {
  const double bytes = static_cast<double>(kp_bytes(c.x)) + static_cast<double>(kp_bytes(c.w)) +
                       static_cast<double>(kp_bytes(c.y)) + extra_bytes;
  plan.work({flops, efficiency, bytes});
  return epilogue_add(plan, c.epilogue, tensors.y, c.layout);
}

bool constant_weights(Plan &plan, const Convolution &c) {
  return kp_is_constant(c.w) || plan.refuse(KP_NO_CONSTANT, "w", "constant: it is packed once");
}

bool one_group(Plan &plan, const Convolution &c) {
  return c.groups == 1 || plan.refuse_number(KP_NO_ATTRIBUTE, "groups", "1", c.groups);
}

/* Rows and columns of a tile of the product's are in part empty. */
double filled(int64_t extent, int64_t tile) {
  return static_cast<double>(extent) / static_cast<double>((extent + tile - 1) / tile * tile);
}

double product_efficiency(const Convolution &c) {
  const int64_t pixels = c.y->dl.shape[0] * c.y->dl.shape[2] * c.y->dl.shape[3];
  return 0.8 * filled(pixels, 8) * filled(c.y->dl.shape[1], 12);
}

bool build_gemm(Plan &plan) {
  Convolution c{};
  if (!read_problem(plan, c) || !one_group(plan, c)) return false;
  const Tensors t = add_tensors(plan, c, false);
  if (!plan.accept(op::CpuGemmConv2d::validate(plan.info(t.x), plan.info(t.w), bias_info(plan, t),
                                               plan.info(t.y), c.window, WeightsInfo(), c.dilation,
                                               c.epilogue.fused, c.fast_math),
                   "convolution by products"))
    return false;
  add_convolution<op::CpuGemmConv2d>(
      plan, t,
      [window = c.window, dilation = c.dilation, fused = c.epilogue.fused, fast = c.fast_math](
          op::CpuGemmConv2d &made, ITensorInfo *x, ITensorInfo *w, ITensorInfo *bias,
          ITensorInfo *y) {
        made.configure(x, w, bias, y, window, WeightsInfo(), dilation, fused, fast);
      });
  /* Windows are copied to a matrix and read again, but for those of one pixel. */
  const int64_t *w = c.w->dl.shape;
  const bool copies = w[2] * w[3] > 1 || c.window.stride() != std::make_pair(1u, 1u) ||
                      strcmp(c.layout, "nhwc") != 0;
  const double matrix = static_cast<double>(kp_bytes(c.y)) / static_cast<double>(w[0]) *
                        static_cast<double>(w[1] * w[2] * w[3]);
  return finish(plan, c, t, c.products(), product_efficiency(c), copies ? 2 * matrix : 0);
}

bool build_implicit_gemm(Plan &plan) {
  Convolution c{};
  if (!read_problem(plan, c) || !one_group(plan, c) || !constant_weights(plan, c)) return false;
  const Tensors t = add_tensors(plan, c, false);
  const Conv2dInfo info(c.window, c.dilation, c.epilogue.fused, c.fast_math, 1);
  if (!plan.accept(op::CpuGemmDirectConv2d::validate(plan.info(t.x), plan.info(t.w),
                                                     bias_info(plan, t), plan.info(t.y), info),
                   "convolution by implicit products"))
    return false;
  add_convolution<op::CpuGemmDirectConv2d>(
      plan, t,
      [info](op::CpuGemmDirectConv2d &made, ITensorInfo *x, ITensorInfo *w, ITensorInfo *bias,
             ITensorInfo *y) { made.configure(x, w, bias, y, info); });
  return finish(plan, c, t, c.products(), product_efficiency(c));
}

bool build_winograd(Plan &plan) {
  Convolution c{};
  if (plan.problem->precision == KP_HIGHEST)
    return plan.refuse(KP_NO_PRECISION, "precision", "high or medium");
  if (!read_problem(plan, c) || !one_group(plan, c) || !constant_weights(plan, c)) return false;
  if (c.dilation.width != 1 || c.dilation.height != 1)
    return plan.refuse(KP_NO_ATTRIBUTE, "dilations", "1");
  const Tensors t = add_tensors(plan, c, false);
  if (!plan.accept(
          op::CpuWinogradConv2d::validate(plan.info(t.x), plan.info(t.w), bias_info(plan, t),
                                          plan.info(t.y), c.window, c.epilogue.fused, c.fast_math),
          "Winograd convolution"))
    return false;
  add_convolution<op::CpuWinogradConv2d>(
      plan, t,
      [window = c.window, fused = c.epilogue.fused, fast = c.fast_math](
          op::CpuWinogradConv2d &made, ITensorInfo *x, ITensorInfo *w, ITensorInfo *bias,
          ITensorInfo *y) { made.configure(x, w, bias, y, window, fused, fast); });
  /* Tiles of 4x4 results of 6x6 pixels for 3x3 windows save three quarters of the products; the
   * transforms write and read the pixels two and a quarter times. */
  const double transforms =
      2 * 2.25 * (static_cast<double>(kp_bytes(c.x)) + static_cast<double>(kp_bytes(c.y)));
  const double tiles = filled(c.y->dl.shape[2], 4) * filled(c.y->dl.shape[3], 4);
  return finish(plan, c, t, c.products() / 4 / tiles, product_efficiency(c), transforms);
}

/* The library calls the packed weights temporary, which they aren't where they are packed once. */
class Depthwise final : public op::CpuDepthwiseConv2d {
 public:
  explicit Depthwise(bool packs_once) : packs_once_(packs_once) {}
  arm_compute::experimental::MemoryRequirements workspace() const override {
    auto wanted = op::CpuDepthwiseConv2d::workspace();
    for (auto &memory : wanted)
      if (packs_once_ && memory.slot == arm_compute::ACL_INT_4)
        memory.lifetime = arm_compute::experimental::MemoryLifetime::Persistent;
    return wanted;
  }

 private:
  bool packs_once_;
};

bool build_depthwise(Plan &plan) {
  Convolution c{};
  if (!read_problem(plan, c)) return false;
  const bool once = kp_is_constant(c.w);
  if (once && c.bias && !kp_is_constant(c.bias))
    return plan.refuse(KP_NO_CONSTANT, "bias", "constant: it is packed with the weights");
  const int64_t channels = c.x->dl.shape[1], outputs = c.y->dl.shape[1];
  if (c.groups != channels || c.w->dl.shape[1] != 1)
    return plan.refuse_number(KP_NO_ATTRIBUTE, "groups", "as many as x has channels", c.groups);
  const auto multiplier = static_cast<unsigned>(outputs / channels);
  const Tensors t = add_tensors(plan, c, true);
  if (!plan.accept(op::CpuDepthwiseConv2d::validate(plan.info(t.x), plan.info(t.w),
                                                    bias_info(plan, t), plan.info(t.y), c.window,
                                                    multiplier, c.epilogue.fused, c.dilation),
                   "depthwise convolution"))
    return false;
  add_convolution<Depthwise>(
      plan, t,
      [window = c.window, dilation = c.dilation, fused = c.epilogue.fused, multiplier](
          Depthwise &made, ITensorInfo *x, ITensorInfo *w, ITensorInfo *bias, ITensorInfo *y) {
        made.configure(x, w, bias, y, window, multiplier, fused, dilation);
      },
      once);
  return finish(plan, c, t, c.products(), multiplier == 1 ? 0.4 : 0.2);
}

bool build_direct(Plan &plan) {
  Convolution c{};
  if (!read_problem(plan, c) || !one_group(plan, c)) return false;
  if (c.dilation.width != 1 || c.dilation.height != 1)
    return plan.refuse(KP_NO_ATTRIBUTE, "dilations", "1");
  const Tensors t = add_tensors(plan, c, false);
  using Direct = arm_compute::NEDirectConvolutionLayer;
  if (!plan.accept(Direct::validate(plan.info(t.x), plan.info(t.w), bias_info(plan, t),
                                    plan.info(t.y), c.window, c.epilogue.fused),
                   "direct convolution"))
    return false;
  plan.add_function([t, window = c.window, fused = c.epilogue.fused](Views &tensors) {
    auto made = std::make_unique<Direct>();
    made->configure(&tensors[t.x], &tensors[t.w], t.has_bias ? &tensors[t.bias] : nullptr,
                    &tensors[t.y], window, fused);
    return made;
  });
  return finish(plan, c, t, c.products(), 0.15);
}

}  // namespace

#define ROW(algorithm, flags, build) {"conv2d", algorithm, FLOATS, flags, build, 0, SOURCE}
#define QUANTIZED_ROW(algorithm, build) \
  {"qconv2d", algorithm, QUANTIZED, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

extern const KernelRow convolution_kernels[];
const KernelRow convolution_kernels[] = {ROW("depthwise", KP_KERNEL_DETERMINISTIC, build_depthwise),
                                         ROW("direct", KP_KERNEL_DETERMINISTIC, build_direct),
                                         ROW("gemm", 0, build_gemm),
                                         ROW("implicit_gemm", 0, build_implicit_gemm),
                                         ROW("winograd", 0, build_winograd),
                                         QUANTIZED_ROW("depthwise", build_depthwise),
                                         QUANTIZED_ROW("gemm", build_gemm),
                                         QUANTIZED_ROW("implicit_gemm", build_implicit_gemm),
                                         {}};
