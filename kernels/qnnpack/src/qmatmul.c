/* "qmatmul" by one constant matrix, as a convolution of one tap: rows are pixels. */
#include "kernels.h"
#include "product.h"

static int64_t elements_but_last(const kp_tensor *t) {
  int64_t count = 1;
  for (int32_t i = 0; i < t->dl.ndim - 1; i++) count *= t->dl.shape[i];
  return count;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = problem->outputs;
  const int64_t inner = a->dl.shape[a->dl.ndim - 1], columns = y->dl.shape[y->dl.ndim - 1];
  for (int32_t i = 0; i < b->dl.ndim - 2; i++)
    if (b->dl.shape[i] != 1)
      return plan_refuse_number(plan, KP_NO_SHAPE, "b.shape", "one matrix for all of a",
                                b->dl.shape[i]);
  if (!plan_layouts(plan, 0)) return 0;
  const int64_t rows = elements_but_last(a);
  const struct product p = {
      .window = {.extent = {rows, 1},
                 .output = {rows, 1},
                 .kernel = {1, 1},
                 .strides = {1, 1},
                 .dilations = {1, 1}},
      .batch = 1,
      .groups = 1,
      .inputs = inner,
      .outputs = columns,
      .w_output = 1,
      .w_input = columns,
  };
  plan->x = (struct image_copy){.batch = 1, .height = rows, .width = 1, .channels = inner};
  return product_build(plan, &p, "b");
}

const struct kernel_row qmatmul_kernels[] = {
    {"qmatmul", "gemm", build, product_create, product_setup, PRODUCT_GEMM, SOURCE},
    {0},
};
