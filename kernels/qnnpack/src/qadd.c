/*
 * "qadd" of tensors of one shape. The library adds in fixed point of 22 bits: a sum that lies near
 * the middle of two numbers may be rounded to the other one.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "kernels.h"
#include "quantization.h"

/* Elements that a part takes multiples of. */
enum { BLOCK = 64 };

/* Of what a sum of products takes to be requantised, an element. */
#define SHARE 0.42

struct addition {
  int64_t elements;
  uint8_t a_zero, b_zero, y_zero, y_low, y_high;
  float a_scale, b_scale, y_scale;
};

static int same_shape(const kp_tensor *t, const kp_tensor *y) {
  const size_t rank = (size_t)y->dl.ndim;
  return t->dl.ndim == y->dl.ndim &&
         (rank == 0 || memcmp(t->dl.shape, y->dl.shape, rank * sizeof *y->dl.shape) == 0);
}

static int check(struct plan *plan, const kp_tensor *t, const char *name) {
  const kp_tensor *y = plan->problem->outputs;
  if (!kp_is_dtype(t, kDLUInt, 8)) return plan_refuse(plan, KP_NO_DTYPE, name, "uint8");
  if (!same_shape(t, y)) return plan_refuse(plan, KP_NO_SHAPE, name, "y's shape");
  const float ratio = quantized_ratio(t, y);
  if (quantized_scale(t, 0) >= FLT_MIN && ratio >= 0x1p-14f && ratio < 0x1p8f) return 1;
  return plan_refuse(plan, KP_NO_QUANTIZATION, name, "its scale / y's from 2^-14 to below 2^8");
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = problem->outputs;
  const quantized_range range = quantized_output_range(problem);
  if (!check(plan, a, "a") || !check(plan, b, "b") || !plan_layouts_alike(plan)) return 0;
  if (quantized_scale(y, 0) < FLT_MIN)
    return plan_refuse(plan, KP_NO_QUANTIZATION, "y", "a normal scale");
  if (range.low >= range.high)
    return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "bounds of more than one stored value");
  struct addition *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the parameters");
  plan->own = p;
  *p = (struct addition){
      .elements = kp_elements(y),
      .a_zero = (uint8_t)quantized_zero(a, 0),
      .b_zero = (uint8_t)quantized_zero(b, 0),
      .y_zero = (uint8_t)quantized_zero(y, 0),
      .y_low = (uint8_t)range.low,
      .y_high = (uint8_t)range.high,
      .a_scale = quantized_scale(a, 0),
      .b_scale = quantized_scale(b, 0),
      .y_scale = quantized_scale(y, 0),
  };
  plan->second = 1;
  cost_divide(plan, (p->elements + BLOCK - 1) / BLOCK, 0, SHARE * (double)p->elements);
  return 1;
}

static int64_t count_of(const struct plan *plan, const struct addition *p, int part) {
  return plan_first(plan, p->elements, BLOCK, part + 1) -
         plan_first(plan, p->elements, BLOCK, part);
}

static qnnpack_status create(const struct plan *plan, int part, const void *const *constants,
                             qnnpack_operator **made) {
  (void)constants;
  const struct addition *p = plan->own;
  return plan->library->create_add_nc_q8((size_t)count_of(plan, p, part), p->a_zero, p->a_scale,
                                         p->b_zero, p->b_scale, p->y_zero, p->y_scale, p->y_low,
                                         p->y_high, 0, made);
}

static qnnpack_status setup(const struct plan *plan, int part, qnnpack_operator *made,
                            const struct places *places) {
  const struct addition *p = plan->own;
  const int64_t first = plan_first(plan, p->elements, BLOCK, part);
  const size_t count = (size_t)count_of(plan, p, part);
  return plan->library->setup_add_nc_q8(made, 1, places->x + first, count, places->second + first,
                                        count, places->y + first, count);
}

const struct kernel_row qadd_kernels[] = {
    {"qadd", "fixed_point", build, create, setup, 0, SOURCE},
    {0},
};
