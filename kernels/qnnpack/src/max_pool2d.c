/*
 * "max_pool2d" of uint8. Where a window reaches into the padding, the library gives it the nearest
 * pixel, which the window has anyway unless it is dilated. Dilated windows, and padding that isn't
 * alike on both sides, take a copy of the image padded by zeros, which no pixel is below.
 */
#include <stdlib.h>

#include "cost.h"
#include "kernels.h"

/* Channels that the library takes at a time. */
enum { BLOCK = 16 };

/* Of what a product takes, a comparison. */
#define SHARE 0.3

struct pooling {
  int64_t batch, height, width, channels;
  int64_t pads[2], kernel[2], strides[2], dilations[2];
};

/* Returns 0 after a refusal. */
static int pad(struct plan *plan, struct pooling *p, const int64_t *output) {
  int64_t behind[2], alike = 1;
  for (int i = 0; i < 2; i++) {
    const int64_t extent = i ? p->width : p->height,
                  span = (p->kernel[i] - 1) * p->dilations[i] + 1;
    behind[i] = image_padding_behind(extent, p->pads[i], span, p->strides[i], output[i]);
    const int64_t both = extent + 2 * p->pads[i];
    alike &= (p->dilations[i] == 1 || (p->pads[i] == 0 && behind[i] == 0)) && both >= span &&
             (both - span) / p->strides[i] + 1 == output[i];
  }
  if (alike) return 1;
  plan->x.is_used = 1;
  plan->x.top = p->pads[0];
  plan->x.left = p->pads[1];
  plan->x.bottom = behind[0];
  plan->x.right = behind[1];
  p->height += plan->x.top + plan->x.bottom;
  p->width += plan->x.left + plan->x.right;
  p->pads[0] = p->pads[1] = 0;
  return plan_check_image(plan, &plan->x);
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const int64_t *x = problem->inputs->dl.shape, *y = problem->outputs->dl.shape;
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (!plan_layouts(plan, 1)) return 0;
  struct pooling *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the window");
  plan->own = p;
  *p = (struct pooling){.batch = x[0], .height = x[2], .width = x[3], .channels = x[1]};
  for (uint32_t i = 0; i < 2; i++) {
    p->kernel[i] = kp_integer(problem, "kernel_shape", i, 1);
    p->strides[i] = kp_integer(problem, "strides", i, 1);
    p->dilations[i] = kp_integer(problem, "dilations", i, 1);
    p->pads[i] = kp_integer(problem, "pads", i, 0);
  }
  if (p->kernel[0] * p->kernel[1] < 2)
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "kernel_shape", "more than one element");
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, 1);
  if (!pad(plan, p, y + 2)) return 0;
  const double pixels = (double)x[0] * (double)y[2] * (double)y[3];
  const double outputs = pixels * (double)p->channels;
  const double taps = (double)p->kernel[0] * (double)p->kernel[1];
  if (pixels * taps > 1 << 28)
    return plan_refuse(plan, KP_NO_MEMORY, "y.shape", "at most 2^28 addresses of taps");
  const int64_t blocks = (p->channels + BLOCK - 1) / BLOCK;
  plan->parts = pixels > 0 ? (int)(plan->threads < blocks ? plan->threads : blocks) : 0;
  plan->seconds = cost_seconds(plan, SHARE * taps * outputs, 0.07 * outputs);
  return 1;
}

static int64_t first_of(const struct plan *plan, const struct pooling *p, int part) {
  const int64_t first = (p->channels + BLOCK - 1) / BLOCK * part / plan->parts * BLOCK;
  return first < p->channels ? first : p->channels;
}

static qnnpack_status create(const struct plan *plan, int part, const void *const *constants,
                             qnnpack_operator **made) {
  (void)constants;
  const struct pooling *p = plan->own;
  const int64_t count = first_of(plan, p, part + 1) - first_of(plan, p, part);
  return plan->library->create_max_pooling2d_nhwc_u8(
      (uint32_t)p->pads[0], (uint32_t)p->pads[1], (uint32_t)p->kernel[0], (uint32_t)p->kernel[1],
      (uint32_t)p->strides[0], (uint32_t)p->strides[1], (uint32_t)p->dilations[0],
      (uint32_t)p->dilations[1], (size_t)count, 0, UINT8_MAX, 0, made);
}

static qnnpack_status setup(const struct plan *plan, int part, qnnpack_operator *made,
                            const struct places *places) {
  const struct pooling *p = plan->own;
  const int64_t first = first_of(plan, p, part);
  return plan->library->setup_max_pooling2d_nhwc_u8(
      made, (size_t)p->batch, (size_t)p->height, (size_t)p->width, places->x + first,
      (size_t)p->channels, places->y + first, (size_t)p->channels, NULL);
}

const struct kernel_row max_pool2d_kernels[] = {
    {"max_pool2d", "direct", build, create, setup, 0, SOURCE},
    {0},
};
