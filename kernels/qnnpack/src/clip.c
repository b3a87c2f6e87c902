/* "clip" of uint8: the library's clamp. */
#include <stdlib.h>

#include "cost.h"
#include "kernels.h"

/* Elements that a part takes multiples of. */
enum { BLOCK = 64 };

/* Of what a sum of products takes to be requantised, an element. */
#define SHARE 0.02

struct clamp {
  int64_t elements;
  uint8_t low, high;
};

static uint8_t within(double bound) {
  return bound <= 0 ? 0 : bound >= UINT8_MAX ? UINT8_MAX : (uint8_t)bound;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const uint8_t low = within(kp_real(problem, "minimum", 0, 0));
  const uint8_t high = within(kp_real(problem, "maximum", 0, UINT8_MAX));
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (!plan_layouts_alike(plan)) return 0;
  if (low >= high) return plan_refuse(plan, KP_NO_ATTRIBUTE, "maximum", "above the minimum");
  struct clamp *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the bounds");
  plan->own = p;
  *p = (struct clamp){kp_elements(problem->outputs), low, high};
  cost_divide(plan, (p->elements + BLOCK - 1) / BLOCK, 0, SHARE * (double)p->elements);
  return 1;
}

static int64_t count_of(const struct plan *plan, const struct clamp *p, int part) {
  return plan_first(plan, p->elements, BLOCK, part + 1) -
         plan_first(plan, p->elements, BLOCK, part);
}

static qnnpack_status create(const struct plan *plan, int part, const void *const *constants,
                             qnnpack_operator **made) {
  (void)constants;
  const struct clamp *p = plan->own;
  return plan->library->create_clamp_nc_u8((size_t)count_of(plan, p, part), p->low, p->high, 0,
                                           made);
}

static qnnpack_status setup(const struct plan *plan, int part, qnnpack_operator *made,
                            const struct places *places) {
  const struct clamp *p = plan->own;
  const int64_t first = plan_first(plan, p->elements, BLOCK, part);
  const size_t count = (size_t)count_of(plan, p, part);
  return plan->library->setup_clamp_nc_u8(made, 1, places->x + first, count, places->y + first,
                                          count);
}

const struct kernel_row clip_kernels[] = {
    {"clip", "direct", build, create, setup, 0, SOURCE},
    {0},
};
