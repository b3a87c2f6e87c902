#include "layout.h"

#include <cstring>

#include "tensor.h"

const char *layout_shared(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  const kp_tensor &output = problem.outputs[0];
  const char *layout = tensor_is_any(output) ? nullptr : output.layout;
  for (uint32_t i = 0; i < problem.num_inputs && !layout; i++)
    if (tensor_same_shape(problem.inputs[i], output) && !tensor_is_any(problem.inputs[i]))
      layout = problem.inputs[i].layout;
  if (!layout) layout = "nchw";
  for (uint32_t i = 0; i < problem.num_inputs; i++) {
    const kp_tensor &input = problem.inputs[i];
    if (kp_is_absent(&input)) continue;
    const bool same = tensor_same_shape(input, output);
    if (tensor_is_any(input)) {
      plan.answer_layout(i, same ? layout : "nchw");
    } else if (same && !kp_is_layout(&input, layout)) {
      plan.refuse(KP_NO_LAYOUT, "layouts of the inputs", "the output's");
      return nullptr;
    }
  }
  plan.answer_layout(problem.num_inputs, layout);
  return layout;
}

bool layout_plain(Plan &plan) {
  const kp_problem &problem = *plan.problem;
  for (uint32_t i = 0; i <= problem.num_inputs; i++) {
    const kp_tensor &tensor = i < problem.num_inputs ? problem.inputs[i] : problem.outputs[0];
    if (kp_is_absent(&tensor)) continue;
    if (!tensor_is_any(tensor) && !kp_is_layout(&tensor, "nchw"))
      return plan.refuse(KP_NO_LAYOUT, "layout", "nchw");
    plan.answer_layout(i, "nchw");
  }
  return true;
}

arm_compute::TensorInfo layout_row(const kp_tensor &tensor) {
  return dense_info({kp_elements(&tensor)}, tensor_dtype(tensor));
}

Lines layout_lines(const kp_tensor &tensor, const char *layout, int axis) {
  const int rank = tensor.dl.ndim;
  const int64_t *shape = tensor.dl.shape;
  if (strcmp(layout, "nhwc") != 0)
    return {tensor_extent(tensor, 0, axis), shape[axis], tensor_extent(tensor, axis + 1, rank)};
  if (axis == 0) return {1, shape[0], tensor_extent(tensor, 1, rank)};
  if (axis == 1) return {shape[0] * shape[2] * shape[3], shape[1], 1};
  return {tensor_extent(tensor, 0, 1) * tensor_extent(tensor, 2, axis), shape[axis],
          tensor_extent(tensor, axis + 1, rank) * shape[1]};
}

double layout_bytes(const kp_problem &problem) {
  int64_t bytes = kp_bytes(&problem.outputs[0]);
  for (uint32_t i = 0; i < problem.num_inputs; i++)
    if (!kp_is_absent(&problem.inputs[i])) bytes += kp_bytes(&problem.inputs[i]);
  return static_cast<double>(bytes);
}
