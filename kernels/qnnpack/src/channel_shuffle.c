/* "channel_shuffle" where channels lie last: the library interleaves the groups of each pixel. */
#include <stdlib.h>

#include "cost.h"
#include "kernels.h"

/* Pixels that a part takes multiples of. */
enum { BLOCK = 8 };

/* Of what a sum of products takes to be requantised, an element; of more than four groups too. */
#define SHARE 0.04
#define SHARE_OF_MANY 0.1

struct shuffle {
  int64_t pixels, groups, channels; /* of a group */
};

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = problem->inputs;
  const int64_t groups = kp_integer(problem, "groups", 0, 1);
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (x->dl.ndim != 2 && x->dl.ndim != 4)
    return plan_refuse_number(plan, KP_NO_RANK, "x", "2 or 4", x->dl.ndim);
  if (!plan_layouts_alike(plan)) return 0;
  if (plan_image(plan, 0).is_used) return plan_refuse(plan, KP_NO_LAYOUT, "layout", "nhwc");
  if (groups < 2) return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "groups", ">= 2", groups);
  struct shuffle *p = malloc(sizeof *p);
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the sizes");
  plan->own = p;
  const int64_t elements = kp_elements(x), channels = x->dl.shape[1];
  *p = (struct shuffle){channels ? elements / channels : 0, groups, channels / groups};
  cost_divide(plan, (p->pixels + BLOCK - 1) / BLOCK, 0,
              (groups > 4 ? SHARE_OF_MANY : SHARE) * (double)elements);
  return 1;
}

static qnnpack_status create(const struct plan *plan, int part, const void *const *constants,
                             qnnpack_operator **made) {
  (void)part, (void)constants;
  const struct shuffle *p = plan->own;
  return plan->library->create_channel_shuffle_nc_x8((size_t)p->groups, (size_t)p->channels, 0,
                                                     made);
}

static qnnpack_status setup(const struct plan *plan, int part, qnnpack_operator *made,
                            const struct places *places) {
  const struct shuffle *p = plan->own;
  const int64_t first = plan_first(plan, p->pixels, BLOCK, part);
  const int64_t count = plan_first(plan, p->pixels, BLOCK, part + 1) - first;
  const int64_t pixel = p->groups * p->channels;
  return plan->library->setup_channel_shuffle_nc_x8(made, (size_t)count, places->x + first * pixel,
                                                    (size_t)pixel, places->y + first * pixel,
                                                    (size_t)pixel);
}

const struct kernel_row channel_shuffle_kernels[] = {
    {"channel_shuffle", "zip", build, create, setup, 0, SOURCE},
    {0},
};
