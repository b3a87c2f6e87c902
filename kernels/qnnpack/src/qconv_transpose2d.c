/*
 * "qconv_transpose2d". The library multiplies every output pixel by all taps, zeros where no pixel
 * of the image meets one; the last rows and columns that padding leaves are its "adjustment".
 */
#include "kernels.h"
#include "product.h"

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const int64_t *w = problem->inputs[1].dl.shape, groups = kp_integer(problem, "groups", 0, 1);
  struct product p = {
      .window = window_of(problem, w + 2),
      .batch = problem->inputs[0].dl.shape[0],
      .groups = groups,
      .inputs = w[0] / groups,
      .outputs = w[1],
      .w_group = w[0] / groups * w[1] * w[2] * w[3],
      .w_output = w[2] * w[3],
      .w_input = w[1] * w[2] * w[3],
      .w_tap = 1,
      .is_transposed = 1,
  };
  for (uint32_t i = 0; i < 2; i++) {
    const int64_t begin = kp_integer(problem, "pads", i, 0);
    const int64_t end = kp_integer(problem, "pads", 2 + i, 0);
    p.adjustment[i] = kp_integer(problem, "output_padding", i, 0) + begin - end;
    if (p.adjustment[i] < 0)
      return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "pads", "no more behind than before", end);
  }
  if (!plan_layouts(plan, 1)) return 0;
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, problem->num_inputs);
  return product_build(plan, &p, "w");
}

const struct kernel_row qconv_transpose2d_kernels[] = {
    {"qconv_transpose2d", "implicit_gemm", build, product_create, product_setup,
     PRODUCT_IMPLICIT_GEMM, SOURCE},
    {0},
};
