/* Changes of layout and dtype. */
#include <string.h>

#include "folding.h"
#include "tensor.h"

/* Conversions that ONNX and oneDNN define alike: integers to floating point, between floats. */
static int converts(dnnl_data_type_t from, dnnl_data_type_t to) {
  if (from == to) return 1;
  return to == dnnl_f32 || to == dnnl_bf16 || to == dnnl_f16;
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  const dnnl_data_type_t from = plan->dtype, to = tensor_dtype(y);
  if (problem->num_inputs != 1)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", "1", problem->num_inputs);
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (!tensor_same_shape(x, y)) return plan_refuse(plan, KP_NO_SHAPE, "y.shape", "x.shape");
  /* 2 is neither 0 nor 1. */
  const int to_bool = y->dl.dtype.code == kDLBool && x->dl.dtype.code != kDLBool;
  if (to_bool || !converts(from, to))
    return plan_refuse(plan, KP_NO_DTYPE, "y.dtype", "x.dtype or floating point");
  const_dnnl_memory_desc_t source, result;
  if (tensor_is_any(x) || tensor_is_any(y) || strncmp(x->layout, y->layout, KP_LAYOUT_SIZE) == 0) {
    const char *layout = fold_shared_layout(plan);
    if (!layout) return 0;
    const int64_t stored = fold_stored_elements(x, layout);
    source = fold_row(plan, stored, from);
    result = fold_row(plan, stored, to);
  } else {
    source = plan_tensor_desc(plan, x);
    result = plan_tensor_desc(plan, y);
  }
  if (!source || !result || !plan_reorder(plan, plan_buffer(0, source), plan_buffer(1, result)))
    return 0;
  /* A transposition of pixels and channels reads or writes with long strides. */
  const int blocked = kp_block(x) > 1 || kp_block(y) > 1;
  const int transposes = !blocked && strncmp(x->layout, y->layout, KP_LAYOUT_SIZE) != 0;
  const int of_bytes = from == dnnl_s8 || from == dnnl_u8;
  plan_finish(plan, 0, !transposes ? 1 : of_bytes ? 0.17 : 0.6);
  return 1;
}

#define ROW(operator_name) \
  {operator_name, "direct", FLOATS | S32 | S8 | U8, KP_KERNEL_DETERMINISTIC, build, 0, SOURCE}

const struct kernel_row reorder_kernels[] = {ROW("cast"), ROW("reorder"), {0}};
