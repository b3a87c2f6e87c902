/*
 * "qconv2d". The library pads both sides alike: where an image needs other padding, it is padded
 * on its way into scratch. It refuses activations of int8, which would have to be copied.
 */
#include "kernels.h"
#include "product.h"

static int64_t output_of(const struct product *p, int i, int64_t extent) {
  return (extent + 2 * p->pads[i] - (p->kernel[i] - 1) * p->dilations[i] - 1) / p->strides[i] + 1;
}

/* Whether as much padding below and on the right as above and on the left gives the same output:
 * what the window never reaches makes no difference. */
static int pads_alike(const struct product *p) {
  return output_of(p, 0, p->height) == p->out_height && output_of(p, 1, p->width) == p->out_width;
}

/* Leaves all padding to the copy of x. Returns 0 after a refusal. */
static int pad_in_scratch(struct plan *plan, struct product *p) {
  struct image_copy *copy = &plan->x;
  int64_t behind[2];
  for (int i = 0; i < 2; i++)
    behind[i] = image_padding_behind(i ? p->width : p->height, p->pads[i],
                                     (p->kernel[i] - 1) * p->dilations[i] + 1, p->strides[i],
                                     i ? p->out_width : p->out_height);
  copy->is_used = 1;
  copy->top = p->pads[0];
  copy->left = p->pads[1];
  copy->bottom = behind[0];
  copy->right = behind[1];
  p->height += copy->top + copy->bottom;
  p->width += copy->left + copy->right;
  p->pads[0] = p->pads[1] = 0;
  return plan_check_image(plan, copy);
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  const int64_t *in = x->dl.shape, *w = problem->inputs[1].dl.shape, *out = y->dl.shape;
  const int64_t *pads = kp_find_attribute(problem, "pads")->integers;
  const int64_t groups = kp_integer(problem, "groups", 0, 1);
  struct product p = {
      .batch = in[0],
      .height = in[2],
      .width = in[3],
      .out_height = out[2],
      .out_width = out[3],
      .pads = {pads[0], pads[1]},
      .kernel = {w[2], w[3]},
      .strides = {kp_integer(problem, "strides", 0, 1), kp_integer(problem, "strides", 1, 1)},
      .dilations = {kp_integer(problem, "dilations", 0, 1), kp_integer(problem, "dilations", 1, 1)},
      .groups = groups,
      .inputs = w[1],
      .outputs = groups ? w[0] / groups : 0,
      .w_output = w[1] * w[2] * w[3],
      .w_input = w[2] * w[3],
      .w_tap = 1,
  };
  if (!plan_layouts(plan, 1)) return 0;
  plan->x = plan_image(plan, 0);
  plan->y = plan_image(plan, problem->num_inputs);
  if (!pads_alike(&p) && !pad_in_scratch(plan, &p)) return 0;
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
