/*
 * "max_pool2d" of uint8. Where a window reaches into the padding, the library gives it the nearest
 * pixel, which the window has anyway unless it is dilated. Dilated windows, and padding that isn't
 * alike on both sides, take a copy of the image padded by zeros, which no pixel is below.
 *
 * Parts divide the images, not their channels: two threads that write a pixel's channels side by
 * side take longer than one that writes them all.
 */
#include <stdlib.h>

#include "cost.h"
#include "kernels.h"
#include "window.h"

/* Of what a product takes, a comparison; of what a sum takes to be requantised, a result. A
 * pixel's tap takes what so many more channels do. */
#define COMPARISON_SHARE 0.19
#define RESULT_SHARE 0.02
#define TAP_CHANNELS 68

struct pooling {
  struct window window;
  int64_t batch, channels;
};

static int pads_itself(const struct window *w) {
  const int is_dilated = w->dilations[0] > 1 || w->dilations[1] > 1;
  return window_pads_alike(w) && !(is_dilated && (w->pads[0] || w->pads[1]));
}

/* The library takes 9 taps at first and 8 at a time then, whether there are so many or not. */
static double taken_taps(int64_t taps) {
  return taps <= 9 ? 9 : 9 + (double)((taps - 9 + 7) / 8 * 8);
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const int64_t *x = problem->inputs->dl.shape;
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (!plan_layouts(plan, 1)) return 0;
  struct pooling *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the window");
  plan->own = p;
  const int64_t *kernel = kp_find_attribute(problem, "kernel_shape")->integers;
  *p = (struct pooling){window_of(problem, kernel), x[0], x[1]};
  struct window *w = &p->window;
  if (window_taps(w) < 2)
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "kernel_shape", "more than one element");
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, 1);
  if (!pads_itself(w) && !window_pad_in_scratch(plan, w)) return 0;
  const double taps = (double)w->kernel[0] * (double)w->kernel[1];
  const double pixels = (double)p->batch * (double)w->output[0] * (double)w->output[1];
  if (pixels * taps > (double)PLAN_ADDRESSES)
    return plan_refuse(plan, KP_NO_MEMORY, "y.shape", "at most 2^28 addresses of taps");
  const double comparisons = (double)p->channels + TAP_CHANNELS;
  cost_divide(plan, p->batch, COMPARISON_SHARE * pixels * taken_taps(window_taps(w)) * comparisons,
              RESULT_SHARE * pixels * (double)p->channels);
  return 1;
}

static qnnpack_status create(const struct plan *plan, int part, const void *const *constants,
                             qnnpack_operator **made) {
  (void)part, (void)constants;
  const struct pooling *p = plan->own;
  const struct window *w = &p->window;
  return plan->library->create_max_pooling2d_nhwc_u8(
      (uint32_t)w->pads[0], (uint32_t)w->pads[1], (uint32_t)w->kernel[0], (uint32_t)w->kernel[1],
      (uint32_t)w->strides[0], (uint32_t)w->strides[1], (uint32_t)w->dilations[0],
      (uint32_t)w->dilations[1], (size_t)p->channels, 0, UINT8_MAX, 0, made);
}

static qnnpack_status setup(const struct plan *plan, int part, qnnpack_operator *made,
                            const struct places *places) {
  const struct pooling *p = plan->own;
  const struct window *w = &p->window;
  const int64_t first = plan_first(plan, p->batch, 1, part);
  const int64_t count = plan_first(plan, p->batch, 1, part + 1) - first;
  return plan->library->setup_max_pooling2d_nhwc_u8(
      made, (size_t)count, (size_t)w->extent[0], (size_t)w->extent[1],
      places->x + first * w->extent[0] * w->extent[1] * p->channels, (size_t)p->channels,
      places->y + first * w->output[0] * w->output[1] * p->channels, (size_t)p->channels, NULL);
}

const struct kernel_row max_pool2d_kernels[] = {
    {"max_pool2d", "direct", build, create, setup, 0, SOURCE},
    {0},
};
