/*
 * resize of images, nearest and linear. oneDNN knows one rule for coordinates;
 * whatever the attributes say is served where it picks the same pixels.
 */
#include <math.h>
#include <string.h>

#include "cost.h"
#include "plan.h"
#include "tensor.h"

enum { MOST_PIXELS = 1 << 16 };

struct axis {
  int64_t in, out;
  double scale;
  const char *coordinates, *rounding;
};

static double source_coordinate(const struct axis *axis, int64_t i) {
  const double in = (double)axis->in, out = (double)axis->out;
  if (strcmp(axis->coordinates, "half_pixel") == 0) return ((double)i + 0.5) / axis->scale - 0.5;
  if (strcmp(axis->coordinates, "asymmetric") == 0) return (double)i / axis->scale;
  if (strcmp(axis->coordinates, "pytorch_half_pixel") == 0)
    return out > 1 ? ((double)i + 0.5) / axis->scale - 0.5 : 0;
  if (strcmp(axis->coordinates, "align_corners") == 0)
    return out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
  return NAN;
}

static int64_t nearest_pixel(const struct axis *axis, int64_t i) {
  const double x = source_coordinate(axis, i);
  double pixel = NAN;
  if (strcmp(axis->rounding, "round_prefer_floor") == 0)
    pixel = ceil(x - 0.5);
  else if (strcmp(axis->rounding, "round_prefer_ceil") == 0)
    pixel = floor(x + 0.5);
  else if (strcmp(axis->rounding, "floor") == 0)
    pixel = floor(x);
  else if (strcmp(axis->rounding, "ceil") == 0)
    pixel = ceil(x);
  if (!(pixel >= 0)) return isnan(pixel) ? -1 : 0;
  return pixel > (double)(axis->in - 1) ? axis->in - 1 : (int64_t)pixel;
}

/* oneDNN's rules, in its own float32. */
static float library_coordinate(const struct axis *axis, int64_t i) {
  return ((float)i + 0.5f) * (float)axis->in / (float)axis->out - 0.5f;
}

static int64_t library_pixel(const struct axis *axis, int64_t i) {
  const float pixel = roundf(library_coordinate(axis, i));
  return pixel<0 ? 0 : pixel>(float)(axis->in - 1) ? axis->in - 1 : (int64_t)pixel;
}

static int same_pixels(const struct axis *axis) {
  for (int64_t i = 0; i < axis->out; i++)
    if (nearest_pixel(axis, i) != library_pixel(axis, i)) return 0;
  return 1;
}

/* Beyond the image's edge both clamp. */
static double clamped(const struct axis *axis, double x) {
  return x<0 ? 0 : x>(double)(axis->in - 1) ? (double)(axis->in - 1) : x;
}

static int same_coordinates(const struct axis *axis) {
  for (int64_t i = 0; i < axis->out; i++) {
    const double difference = clamped(axis, source_coordinate(axis, i)) -
                              clamped(axis, (double)library_coordinate(axis, i));
    if (!(fabs(difference) <= 4e-7 * (double)axis->in)) return 0;
  }
  return 1;
}

static int check_axes(struct plan *plan, int linear) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  for (uint32_t d = 0; d < 4; d++) {
    const struct axis axis = {
        x->dl.shape[d], y->dl.shape[d],
        kp_real(problem, "scales", d, (double)y->dl.shape[d] / (double)x->dl.shape[d]),
        kp_string(problem, "coordinate_mode", "half_pixel"),
        kp_string(problem, "nearest_mode", "round_prefer_floor")};
    if (axis.out > MOST_PIXELS)
      return plan_refuse_number(plan, KP_NO_SHAPE, "extent of y", "<= 65536", axis.out);
    if (d < 2 && axis.in != axis.out)
      return plan_refuse(plan, KP_NO_SHAPE, "batch and channels of y", "x's");
    if (!(linear ? same_coordinates(&axis) : same_pixels(&axis)))
      return plan_refuse(plan, KP_NO_ATTRIBUTE, "coordinate_mode, nearest_mode and scales",
                         "some that amount to half_pixel and round_prefer_ceil");
  }
  return 1;
}

static int add_step(struct plan *plan, dnnl_primitive_desc_t primitive,
                    const_dnnl_memory_desc_t source, struct place output, enum step_when when) {
  if (!plan_step(plan, primitive)) return 0;
  plan_step_when(plan, when, 0);
  return plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, source)) &&
         plan_argument(plan, DNNL_ARG_DST, output);
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  const char *mode = kp_string(problem, "mode", "nearest");
  const int linear = plan->row->parameter == (int)dnnl_resampling_linear;
  if (strcmp(mode, linear ? "linear" : "nearest") != 0)
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "mode", linear ? "linear" : "nearest");
  if (!plan_check_plain(plan, 1)) return 0;
  if (x->dl.ndim != 4 || y->dl.ndim != 4)
    return plan_refuse_number(plan, KP_NO_RANK, "x.rank", "4", x->dl.ndim);
  if (!check_axes(plan, linear)) return 0;
  const char *layout = !tensor_is_any(x) ? x->layout : !tensor_is_any(y) ? y->layout : "nhwc";
  if (!tensor_is_any(y) && !tensor_has_layout(y, layout))
    return plan_refuse(plan, KP_NO_LAYOUT, "y.layout", "x's");
  plan_answer_layout(plan, 0, layout);
  plan_answer_layout(plan, 1, layout);
  const_dnnl_memory_desc_t source = plan_desc(plan, 4, x->dl.shape, plan->dtype, layout);
  const_dnnl_memory_desc_t result = plan_desc(plan, 4, y->dl.shape, plan->dtype, layout);
  if (!source || !result) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->resampling_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, (dnnl_alg_kind_t)plan->row->parameter, NULL,
      source, result, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "resampling") ||
      !add_step(plan, primitive, source, plan_buffer(1, result), STEP_ALIGNED))
    return 0;
  const struct place staged = plan_scratch(plan, result);
  if (staged.kind == PLACE_NONE || !add_step(plan, primitive, source, staged, STEP_MISALIGNED) ||
      !plan_reorder(plan, staged, plan_buffer(1, result)))
    return 0;
  plan_step_when(plan, STEP_MISALIGNED, 0);
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

#define ROW(algorithm)                                                                        \
  {"resize", #algorithm, FLOATS, KP_KERNEL_DETERMINISTIC, build, dnnl_resampling_##algorithm, \
   SOURCE}

const struct kernel_row resampling_kernels[] = {ROW(nearest), ROW(linear), {0}};
