#include "folding.h"

#include <string.h>

#include "tensor.h"

const char *fold_shared_layout(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *output = problem->outputs;
  const char *layout = tensor_is_any(output) ? NULL : output->layout;
  for (uint32_t i = 0; i < problem->num_inputs && !layout; i++)
    if (tensor_same_shape(&problem->inputs[i], output) && !tensor_is_any(&problem->inputs[i]))
      layout = problem->inputs[i].layout;
  if (!layout) layout = "nchw";
  for (uint32_t i = 0; i < problem->num_inputs; i++) {
    const kp_tensor *input = &problem->inputs[i];
    if (kp_is_absent(input)) continue;
    const int same = tensor_same_shape(input, output);
    if (tensor_is_any(input)) {
      plan_answer_layout(plan, i, same ? layout : "nchw");
    } else if (same && !tensor_has_layout(input, layout)) {
      plan_refuse(plan, KP_NO_LAYOUT, "layouts of the inputs", "the output's");
      return NULL;
    }
  }
  plan_answer_layout(plan, plan->num_inputs, layout);
  return layout;
}

int64_t fold_stored_elements(const kp_tensor *tensor, const char *layout) {
  kp_tensor laid_out = *tensor;
  memcpy(laid_out.layout, layout, strlen(layout) + 1);
  return kp_bytes(&laid_out) / ((tensor->dl.dtype.bits + 7) / 8);
}

const_dnnl_memory_desc_t fold_row(struct plan *plan, int64_t elements, dnnl_data_type_t dtype) {
  return plan_desc(plan, 1, &elements, dtype, "nchw");
}
