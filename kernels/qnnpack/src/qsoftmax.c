/*
 * "qsoftmax" of lines that lie together, by the library's softargmax: exponentials of 24 bits
 * which are rounded before they are added, and a quotient that is rounded half up. A result may be
 * one off.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "kernels.h"
#include "quantization.h"

/* With more channels the exponentials' roundings could add up to more than one. */
enum { MOST_CHANNELS = 4096 };

/* Of what a sum of products takes to be requantised, an element. */
#define SHARE 1.6

struct shares {
  int64_t rows, channels;
  float x_scale;
};

/* Elements from one channel to the next. */
static int64_t inner_of(const struct plan *plan, int64_t axis) {
  const DLTensor *x = &plan->problem->inputs->dl;
  int64_t inner = 1;
  if (strcmp(plan->answer->layouts[0], "nhwc") != 0)
    for (int64_t i = axis + 1; i < x->ndim; i++) inner *= x->shape[i];
  else if (axis != 1)
    for (int64_t i = axis + 1; i < x->ndim + 1; i++) inner *= x->shape[i < x->ndim ? i : 1];
  return inner;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const int64_t axis = kp_integer(problem, "axis", 0, 0), channels = x->dl.shape[axis];
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (!plan_layouts_alike(plan)) return 0;
  if (inner_of(plan, axis) != 1)
    return plan_refuse_number(plan, KP_NO_LAYOUT, "layout", "the axis innermost", axis);
  if (quantized_scale(y, 0) != 0x1p-8f || quantized_zero(y, 0) != 0)
    return plan_refuse(plan, KP_NO_QUANTIZATION, "y", "scale 1/256 and zero point 0");
  if (quantized_scale(x, 0) < FLT_MIN)
    return plan_refuse(plan, KP_NO_QUANTIZATION, "x", "a normal scale");
  if (channels < 1 || channels > MOST_CHANNELS)
    return plan_refuse_number(plan, KP_NO_SHAPE, "x.shape", "from 1 to 4096 channels", channels);
  struct shares *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the sizes");
  plan->own = p;
  const int64_t elements = kp_elements(x);
  *p = (struct shares){elements / channels, channels, quantized_scale(x, 0)};
  cost_divide(plan, p->rows, 0, SHARE * (double)elements);
  return 1;
}

static qnnpack_status create(const struct plan *plan, int part, const void *const *constants,
                             qnnpack_operator **made) {
  (void)part, (void)constants;
  const struct shares *p = plan->own;
  return plan->library->create_softargmax_nc_q8((size_t)p->channels, p->x_scale, 0, 0x1p-8f, 0,
                                                made);
}

static qnnpack_status setup(const struct plan *plan, int part, qnnpack_operator *made,
                            const struct places *places) {
  const struct shares *p = plan->own;
  const int64_t first = plan_first(plan, p->rows, 1, part);
  const int64_t count = plan_first(plan, p->rows, 1, part + 1) - first;
  return plan->library->setup_softargmax_nc_q8(made, (size_t)count, places->x + first * p->channels,
                                               (size_t)p->channels, places->y + first * p->channels,
                                               (size_t)p->channels);
}

const struct kernel_row qsoftmax_kernels[] = {
    {"qsoftmax", "softargmax", build, create, setup, 0, SOURCE},
    {0},
};
