/*
 * "qavg_pool2d" and "qglobal_avg_pool2d". The library divides by the whole window, so that padding
 * counts; it keeps sums of all channels on the stack.
 */
#include <float.h>
#include <stdlib.h>

#include "cost.h"
#include "kernels.h"
#include "quantization.h"
#include "window.h"

enum { MOST_CHANNELS = 1 << 14, MOST_TAPS = (1 << 24) - 1 };

/* Of what a sum of products takes to be requantised, a sum of these. An addition takes what a
 * product takes. */
#define RESULT_SHARE 0.1

struct average {
  struct window window; /* of a global average the image */
  int64_t batch, channels;
  uint8_t x_zero, y_zero, y_low, y_high;
  float x_scale, y_scale;
};

static int check_scales(struct plan *plan) {
  const kp_tensor *x = plan->problem->inputs, *y = plan->problem->outputs;
  const float ratio = quantized_ratio(x, y);
  if (quantized_scale(x, 0) >= FLT_MIN && quantized_scale(y, 0) >= FLT_MIN && ratio >= 0x1p-8f &&
      ratio < 0x1p8f)
    return 1;
  return plan_refuse(plan, KP_NO_QUANTIZATION, "scales", "x / y from 2^-8 to below 2^8");
}

/* What both have in common, for a window that is known. Returns 0 after a refusal. */
static int build(struct plan *plan, struct window window) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const quantized_range range = quantized_output_range(problem);
  struct average *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the window");
  plan->own = p;
  *p = (struct average){
      .window = window,
      .batch = x->dl.shape[0],
      .channels = x->dl.shape[1],
      .x_zero = (uint8_t)quantized_zero(x, 0),
      .y_zero = (uint8_t)quantized_zero(y, 0),
      .y_low = (uint8_t)range.low,
      .y_high = (uint8_t)range.high,
      .x_scale = quantized_scale(x, 0),
      .y_scale = quantized_scale(y, 0),
  };
  if (!check_scales(plan)) return 0;
  if (p->channels > MOST_CHANNELS)
    return plan_refuse_number(plan, KP_NO_SHAPE, "x.shape", "at most 16384 channels", p->channels);
  const double taps = (double)window.kernel[0] * (double)window.kernel[1];
  const double outputs = (double)kp_elements(y);
  plan->x.fill = p->x_zero;
  plan->x.is_used |= p->channels < PLAN_VECTOR;
  cost_divide(plan, (p->channels + PLAN_VECTOR - 1) / PLAN_VECTOR, taps * outputs,
              RESULT_SHARE * outputs);
  return 1;
}

/* ---- Windows ------------------------------------------------------------------------ */

static int build_windows(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const int64_t *pads = kp_find_attribute(problem, "pads")->integers;
  struct window w = window_of(problem, kp_find_attribute(problem, "kernel_shape")->integers);
  if (window_taps(&w) < 2 || window_taps(&w) > MOST_TAPS)
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "kernel_shape", "from 2 to 2^24 - 1 elements");
  if ((pads[0] || pads[1] || pads[2] || pads[3]) && !kp_integer(problem, "count_include_pad", 0, 0))
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "pads", "none, or padding that counts");
  for (int i = 0; i < 2; i++)
    if (window_reached_behind(&w, i) > pads[2 + i])
      return plan_refuse(plan, KP_NO_ATTRIBUTE, "ceil_mode", "no window beyond the padding");
  if (!plan_layouts(plan, 1)) return 0;
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, 1);
  if (!window_pads_alike(&w) && !window_pad_in_scratch(plan, &w)) return 0;
  const double pixels =
      (double)problem->inputs->dl.shape[0] * (double)w.output[0] * (double)w.output[1];
  if (pixels * (double)window_taps(&w) > (double)PLAN_ADDRESSES)
    return plan_refuse(plan, KP_NO_MEMORY, "y.shape", "at most 2^28 addresses of taps");
  return build(plan, w);
}

struct slice {
  int64_t first, count;
};

static struct slice slice_of(const struct plan *plan, const struct average *p, int part) {
  const int64_t first = plan_first(plan, p->channels, PLAN_VECTOR, part);
  return (struct slice){first, plan_first(plan, p->channels, PLAN_VECTOR, part + 1) - first};
}

static qnnpack_status create_windows(const struct plan *plan, int part,
                                     const void *const *constants, qnnpack_operator **made) {
  (void)constants;
  const struct average *p = plan->own;
  const struct window *w = &p->window;
  return plan->library->create_average_pooling2d_nhwc_q8(
      (uint32_t)w->pads[0], (uint32_t)w->pads[1], (uint32_t)w->kernel[0], (uint32_t)w->kernel[1],
      (uint32_t)w->strides[0], (uint32_t)w->strides[1], (size_t)slice_of(plan, p, part).count,
      p->x_zero, p->x_scale, p->y_zero, p->y_scale, p->y_low, p->y_high, 0, made);
}

static qnnpack_status setup_windows(const struct plan *plan, int part, qnnpack_operator *made,
                                    const struct places *places) {
  const struct average *p = plan->own;
  const int64_t first = slice_of(plan, p, part).first;
  return plan->library->setup_average_pooling2d_nhwc_q8(
      made, (size_t)p->batch, (size_t)p->window.extent[0], (size_t)p->window.extent[1],
      places->x + first, (size_t)p->channels, places->y + first, (size_t)p->channels, NULL);
}

/* ---- Whole images ------------------------------------------------------------------- */

static int build_global(struct plan *plan) {
  const int64_t *x = plan->problem->inputs->dl.shape;
  if (!plan_layouts(plan, 1)) return 0;
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, 1);
  return build(plan, (struct window){.extent = {x[2], x[3]}, .kernel = {x[2], x[3]}});
}

static qnnpack_status create_global(const struct plan *plan, int part, const void *const *constants,
                                    qnnpack_operator **made) {
  (void)constants;
  const struct average *p = plan->own;
  return plan->library->create_global_average_pooling_nwc_q8(
      (size_t)slice_of(plan, p, part).count, p->x_zero, p->x_scale, p->y_zero, p->y_scale, p->y_low,
      p->y_high, 0, made);
}

static qnnpack_status setup_global(const struct plan *plan, int part, qnnpack_operator *made,
                                   const struct places *places) {
  const struct average *p = plan->own;
  const int64_t first = slice_of(plan, p, part).first;
  return plan->library->setup_global_average_pooling_nwc_q8(
      made, (size_t)p->batch, (size_t)window_taps(&p->window), places->x + first,
      (size_t)p->channels, places->y + first, (size_t)p->channels);
}

const struct kernel_row qavg_pool2d_kernels[] = {
    {"qavg_pool2d", "direct", build_windows, create_windows, setup_windows, 0, SOURCE},
    {"qglobal_avg_pool2d", "direct", build_global, create_global, setup_global, 0, SOURCE},
    {0},
};
