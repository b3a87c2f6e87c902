/*
 * resize of images, nearest and linear. The library computes places in float32; whatever the
 * attributes say is served where it picks the same pixels.
 */
#include <cmath>
#include <cstring>

#include "arm_compute/runtime/NEON/functions/NEScale.h"
#include "layout.h"
#include "tensor.h"

using arm_compute::BorderMode;
using arm_compute::InterpolationPolicy;
using arm_compute::NEScale;
using arm_compute::PixelValue;
using arm_compute::SamplingPolicy;
using arm_compute::ScaleKernelInfo;

namespace {

constexpr int64_t most_pixels = 1 << 16;

struct Axis {
  int64_t in, out;
  double scale;
  const char *coordinates, *rounding;

  double place(int64_t i) const {
    const auto is = [this](const char *mode) { return strcmp(coordinates, mode) == 0; };
    const double x = static_cast<double>(i), n = static_cast<double>(in),
                 m = static_cast<double>(out);
    if (is("half_pixel")) return (x + 0.5) / scale - 0.5;
    if (is("asymmetric")) return x / scale;
    if (is("pytorch_half_pixel")) return out > 1 ? (x + 0.5) / scale - 0.5 : 0;
    if (is("align_corners")) return out > 1 ? x * (n - 1) / (m - 1) : 0;
    return NAN;
  }

  int64_t clamped(double pixel) const {
    const double last = static_cast<double>(in - 1);
    return std::isnan(pixel) ? -1
                             : static_cast<int64_t>(pixel < 0      ? 0
                                                    : pixel > last ? last
                                                                   : pixel);
  }

  int64_t nearest(int64_t i) const {
    const auto is = [this](const char *mode) { return strcmp(rounding, mode) == 0; };
    const double x = place(i);
    return clamped(is("round_prefer_floor")  ? std::ceil(x - 0.5)
                   : is("round_prefer_ceil") ? std::floor(x + 0.5)
                   : is("floor")             ? std::floor(x)
                   : is("ceil")              ? std::ceil(x)
                                             : NAN);
  }
};

/* How the library finds a place: in float32, by the corners or by the extents' ratio. */
struct Rule {
  SamplingPolicy sampling;
  bool align_corners;

  float ratio(const Axis &axis) const {
    const int64_t offset = align_corners && axis.out > 1 ? 1 : 0;
    return static_cast<float>(axis.in - offset) / static_cast<float>(axis.out - offset);
  }
  float nearest_place(const Axis &axis, int64_t i) const {
    const float half = sampling == SamplingPolicy::CENTER ? 0.5f : 0.0f;
    const float place = (static_cast<float>(i) + half) * ratio(axis);
    return align_corners ? std::round(place) : std::floor(place);
  }
  float linear_place(const Axis &axis, int64_t i) const {
    const float half = sampling == SamplingPolicy::CENTER ? 0.5f : 0.0f;
    return (static_cast<float>(i) + half) * ratio(axis) - half;
  }

  bool same(const Axis &axis, bool linear) const {
    for (int64_t i = 0; i < axis.out; i++) {
      if (!linear) {
        if (axis.nearest(i) != axis.clamped(nearest_place(axis, i))) return false;
        continue;
      }
      const double last = static_cast<double>(axis.in - 1);
      const auto inside = [last](double x) { return x < 0 ? 0 : x > last ? last : x; };
      const double difference =
          inside(axis.place(i)) - inside(static_cast<double>(linear_place(axis, i)));
      if (!(std::fabs(difference) <= 4e-7 * static_cast<double>(axis.in))) return false;
    }
    return true;
  }
};

bool read_axes(Plan &plan, Axis *axes) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &x = problem.inputs[0], &y = problem.outputs[0];
  for (uint32_t d = 0; d < 4; d++) {
    const Axis axis = {
        x.dl.shape[d], y.dl.shape[d],
        kp_real(&problem, "scales", d,
                static_cast<double>(y.dl.shape[d]) / static_cast<double>(x.dl.shape[d])),
        kp_string(&problem, "coordinate_mode", "half_pixel"),
        kp_string(&problem, "nearest_mode", "round_prefer_floor")};
    if (axis.out > most_pixels)
      return plan.refuse_number(KP_NO_SHAPE, "extent of y", "<= 65536", axis.out);
    if (d >= 2)
      axes[d - 2] = axis;
    else if (axis.in != axis.out || axis.scale != 1)
      return plan.refuse(KP_NO_SHAPE, "batch and channels of y", "x's");
  }
  return true;
}

bool build(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &x = problem.inputs[0], &y = problem.outputs[0];
  const bool linear = strcmp(plan.row.algorithm, "linear") == 0;
  if (!plan.check_plain(1) || !plan.check_sums(linear)) return false;
  if (strcmp(kp_string(&problem, "mode", "nearest"), plan.row.algorithm) != 0)
    return plan.refuse(KP_NO_ATTRIBUTE, "mode", plan.row.algorithm);
  if (x.dl.ndim != 4) return plan.refuse_number(KP_NO_RANK, "x.rank", "4", x.dl.ndim);
  const char *layout = !tensor_is_any(x) ? x.layout : !tensor_is_any(y) ? y.layout : "nhwc";
  if (!tensor_is_any(y) && !kp_is_layout(&y, layout))
    return plan.refuse(KP_NO_LAYOUT, "y.layout", "x's");
  plan.answer_layout(0, layout);
  plan.answer_layout(1, layout);
  Axis axes[2];
  if (!read_axes(plan, axes)) return false;
  static constexpr Rule rules[] = {{SamplingPolicy::CENTER, false},
                                   {SamplingPolicy::TOP_LEFT, false},
                                   {SamplingPolicy::TOP_LEFT, true}};
  const Rule *found = nullptr;
  for (const Rule &rule : rules)
    if (!found && rule.same(axes[0], linear) && rule.same(axes[1], linear)) found = &rule;
  if (!found)
    return plan.refuse(KP_NO_ATTRIBUTE, "coordinate_mode, nearest_mode and scales",
                       "some that amount to one of the library's rules");
  const TensorId from = plan.buffer(0, tensor_info(x, layout));
  const TensorId to = plan.buffer(1, tensor_info(y, layout));
  const ScaleKernelInfo info(
      linear ? InterpolationPolicy::BILINEAR : InterpolationPolicy::NEAREST_NEIGHBOR,
      BorderMode::REPLICATE, PixelValue(), found->sampling, false, found->align_corners,
      plan.info(from)->data_layout());
  if (!plan.accept(NEScale::validate(plan.info(from), plan.info(to), info), "scale")) return false;
  plan.add_function([=](Views &tensors) {
    auto made = std::make_unique<NEScale>();
    made->configure(&tensors[from], &tensors[to], info);
    return made;
  });
  plan.work({.efficiency = linear ? 0.2 : 0.5, .bytes = layout_bytes(problem)});
  return true;
}

}  // namespace

#define ROW(algorithm) {"resize", algorithm, FLOATS, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

extern const KernelRow resampling_kernels[];
const KernelRow resampling_kernels[] = {ROW("linear"), ROW("nearest"), {}};
