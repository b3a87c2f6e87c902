/*
 * "qconv2d". The library pads both sides alike: where an image needs other padding, it is padded
 * on its way into scratch. It refuses activations of int8, which would have to be copied.
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
      .inputs = w[1],
      .outputs = w[0] / groups,
      .w_group = w[0] / groups * w[1] * w[2] * w[3],
      .w_output = w[1] * w[2] * w[3],
      .w_input = w[2] * w[3],
      .w_tap = 1,
  };
  if (!plan_layouts(plan, 1)) return 0;
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, problem->num_inputs);
  if (!window_pads_alike(&p.window) && !window_pad_in_scratch(plan, &p.window)) return 0;
  return product_build(plan, &p, "w");
}

#define ROW(algorithm, path) \
  {"qconv2d", algorithm, build, product_create, product_setup, path, SOURCE}

const struct kernel_row qconv2d_kernels[] = {
    ROW("gemm", PRODUCT_GEMM),
    ROW("implicit_gemm", PRODUCT_IMPLICIT_GEMM),
    ROW("depthwise", PRODUCT_DEPTHWISE),
    {0},
};
