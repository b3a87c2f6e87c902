/* Pooling over windows and over whole images. */
#include <string.h>

#include "cost.h"
#include "plan.h"
#include "tensor.h"

enum { GLOBAL = 1 << 16 };

struct window {
  dnnl_dims_t kernel, strides, dilations, before, after;
};

static int read_axis(struct plan *plan, struct window *window, uint32_t axis, int64_t in,
                     int64_t out) {
  const kp_problem *problem = plan->problem;
  const int64_t kernel = kp_integer(problem, "kernel_shape", axis, 0);
  const int64_t stride = kp_integer(problem, "strides", axis, 1);
  const int64_t dilation = kp_integer(problem, "dilations", axis, 1);
  const int64_t before = kp_integer(problem, "pads", axis, 0);
  const int64_t after = kp_integer(problem, "pads", axis + 2, 0);
  if (kernel < 1 || kernel > INT16_MAX)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "kernel_shape", "1 to 32767", kernel);
  if (stride < 1 || stride > INT16_MAX)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "strides", "1 to 32767", stride);
  if (dilation < 1 || dilation > INT16_MAX)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "dilations", "1 to 32767", dilation);
  if (before < 0 || after < 0 || before > INT16_MAX || after > INT16_MAX)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "pads", "0 to 32767",
                              before < 0 || before > INT16_MAX ? before : after);
  /* ceil_mode's last window may reach past the padding: oneDNN is given as much as it needs. */
  const int64_t span = (kernel - 1) * dilation + 1;
  const int64_t needed = (out - 1) * stride + span - in - before;
  const int overhangs = needed > after;
  if (overhangs && plan->row->parameter == (int)dnnl_pooling_avg_exclude_padding &&
      kp_integer(problem, "count_include_pad", 0, 0))
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "ceil_mode with count_include_pad",
                       "windows that end within the padding");
  window->kernel[axis] = kernel;
  window->strides[axis] = stride;
  window->dilations[axis] = dilation - 1;
  window->before[axis] = before;
  window->after[axis] = overhangs ? needed : after;
  return 1;
}

static int read_window(struct plan *plan, struct window *window) {
  const int64_t *in = plan->problem->inputs[0].dl.shape, *out = plan->problem->outputs[0].dl.shape;
  memset(window, 0, sizeof *window);
  for (uint32_t axis = 0; axis < 2; axis++) {
    if (plan->row->parameter & GLOBAL) {
      window->kernel[axis] = in[axis + 2];
      window->strides[axis] = 1;
    } else if (!read_axis(plan, window, axis, in[axis + 2], out[axis + 2])) {
      return 0;
    }
  }
  return 1;
}

static dnnl_alg_kind_t algorithm_of(const struct plan *plan) {
  const dnnl_alg_kind_t algorithm = (dnnl_alg_kind_t)(plan->row->parameter & ~GLOBAL);
  const int includes = algorithm == dnnl_pooling_avg_exclude_padding &&
                       kp_integer(plan->problem, "count_include_pad", 0, 0);
  return includes ? dnnl_pooling_avg_include_padding : algorithm;
}

/*
 * Maxima of bytes: comparisons as arithmetic, and the share of the peak that they reach. As
 * measured, a tap of a pixel takes what 1300 products do and each vector of its channels what 150
 * do; code that is written to be read, 2e4 an element.
 */
static void finish_maxima(struct plan *plan, dnnl_primitive_desc_t primitive,
                          const struct window *window) {
  const kp_tensor *y = plan->problem->outputs;
  const double taps = (double)window->kernel[0] * (double)window->kernel[1];
  const int64_t channels = y->dl.shape[1], vectors = (channels + 63) / 64;
  const double share = cost_is_reference(plan_implementation(plan, primitive))
                           ? 5e-5
                           : (double)channels / (double)(1300 + 150 * vectors);
  plan_finish(plan, taps * (double)kp_elements(y), share);
}

/*
 * Averages: a sum of 16 channels takes what eight taps take beside its own; of dense planes more
 * than three times of that, of whole ones twenty times, as measured with AVX-512.
 */
static void finish_averages(struct plan *plan, dnnl_primitive_desc_t primitive,
                            const struct window *window, const char *layout) {
  if (cost_is_reference(plan_implementation(plan, primitive))) {
    plan_finish(plan, 0, cost_share(plan, primitive));
    return;
  }
  const double taps = (double)window->kernel[0] * (double)window->kernel[1];
  const double sums = (double)kp_elements(plan->problem->outputs);
  const double in_planes = plan->row->parameter & GLOBAL ? 0.016 : 0.095;
  plan_finish(plan, (taps + 8) * sums, strcmp(layout, "nchw") ? 0.32 : in_planes);
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  struct window window;
  if (x->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "x.rank", "4", x->dl.ndim);
  if (y->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "y.rank", "4", y->dl.ndim);
  if (!plan_check_plain(plan, 1)) return 0;
  if (!read_window(plan, &window)) return 0;
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
  const dnnl_status_t status = plan->dnnl->pooling_forward_primitive_desc_create(
      &primitive, plan->engine, dnnl_forward_inference, algorithm_of(plan), source, result,
      window.strides, window.kernel, window.dilations, window.before, window.after, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "pooling") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, plan_buffer(0, source)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(1, result)))
    return 0;
  if (algorithm_of(plan) == dnnl_pooling_max)
    finish_maxima(plan, primitive, &window);
  else
    finish_averages(plan, primitive, &window, layout);
  return 1;
}

#define ROW(operator_name, dtypes, parameter) \
  {operator_name, "direct", dtypes, KP_KERNEL_DETERMINISTIC, build, (int)(parameter), SOURCE}

/* Maxima of floating point are left out: oneDNN's lose NaN, and minus infinity where it is all. */
const struct kernel_row pooling_kernels[] = {
    ROW("avg_pool2d", FLOATS, dnnl_pooling_avg_exclude_padding),
    ROW("max_pool2d", S8 | U8, dnnl_pooling_max),
    ROW("global_avg_pool2d", FLOATS, GLOBAL | dnnl_pooling_avg_exclude_padding),
    ROW("global_max_pool2d", S8 | U8, GLOBAL | dnnl_pooling_max),
    {0}};
