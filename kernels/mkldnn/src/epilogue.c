#include "epilogue.h"

#include <string.h>

#include "eltwise.h"
#include "tensor.h"

enum { MOST_STEPS = 8 };

/* The argument that feeds the post-operation at `position`. */
static int operand_name(uint32_t position) {
  return DNNL_ARG_ATTR_MULTIPLE_POST_OP((int)position) | DNNL_ARG_SRC_1;
}

static int binary_algorithm(const char *name, dnnl_alg_kind_t *algorithm) {
  if (strcmp(name, "add") == 0)
    *algorithm = dnnl_binary_add;
  else if (strcmp(name, "mul") == 0)
    *algorithm = dnnl_binary_mul;
  else
    return 0;
  return 1;
}

static int check_operand(struct plan *plan, const kp_epilogue *step) {
  const kp_problem *problem = plan->problem;
  if (step->input < 0 || (uint32_t)step->input >= problem->num_inputs)
    return plan_refuse_number(plan, KP_NO_EPILOGUE, "epilogue's input", "an input's index",
                              step->input);
  const kp_tensor *operand = &problem->inputs[step->input];
  if (!tensor_same_shape(operand, problem->outputs))
    return plan_refuse(plan, KP_NO_EPILOGUE, "shape of an epilogue's input", "the output's");
  if (tensor_dtype(operand) != tensor_dtype(problem->outputs))
    return plan_refuse(plan, KP_NO_EPILOGUE, "dtype of an epilogue's input", "the output's");
  return 1;
}

/*
 * oneDNN's maxima and minima take their other operand where one is NaN, and its gelu makes NaN of
 * infinity. The operators keep NaN and infinity: the pack itself does a last relu or clip, and only
 * a caller who gives up precision gets the others.
 */
static int loses_special_values(const struct eltwise *function) {
  switch (function->algorithm) {
    case dnnl_eltwise_relu:
      return function->alpha == 0;
    case dnnl_eltwise_clip_v2:
    case dnnl_eltwise_hardsigmoid:
    case dnnl_eltwise_logistic: /* clamps what it exponentiates */
    case dnnl_eltwise_gelu_erf:
    case dnnl_eltwise_gelu_tanh:
      return 1;
    default:
      return 0;
  }
}

static int append_step(struct plan *plan, const struct output_view *view, const kp_epilogue *step,
                       dnnl_post_ops_t operations) {
  const struct library *dnnl = plan->dnnl;
  struct eltwise function;
  dnnl_alg_kind_t algorithm;
  if (eltwise_of_epilogue(step, &function))
    return dnnl->post_ops_append_eltwise(operations, function.algorithm, function.alpha,
                                         function.beta) == dnnl_success ||
           plan_refuse(plan, KP_NO_EPILOGUE, step->name, "parameters that oneDNN serves");
  if (!binary_algorithm(step->name, &algorithm))
    return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "one that the contract names");
  if (!check_operand(plan, step)) return 0;
  const_dnnl_memory_desc_t operand =
      plan_desc(plan, view->rank, view->shape, tensor_dtype(plan->problem->outputs), view->layout);
  if (!operand) return 0;
  return dnnl->post_ops_append_binary(operations, algorithm, operand) == dnnl_success ||
         plan_refuse(plan, KP_NO_EPILOGUE, step->name, "an operand that oneDNN serves");
}

static int append_prefix(struct plan *plan, const struct output_view *view,
                         dnnl_post_ops_t operations) {
  const struct library *dnnl = plan->dnnl;
  if ((view->factor != 1 && dnnl->post_ops_append_eltwise(operations, dnnl_eltwise_linear,
                                                          view->factor, 0) != dnnl_success) ||
      (view->term &&
       dnnl->post_ops_append_binary(operations, dnnl_binary_add, view->term) != dnnl_success))
    return plan_refuse(plan, KP_NO_ATTRIBUTE, "factor and bias", "some that oneDNN serves");
  return 1;
}

static int append_steps(struct plan *plan, const struct output_view *view, int in_place,
                        dnnl_post_ops_t operations) {
  if (!append_prefix(plan, view, operations)) return 0;
  for (uint32_t i = 0; i < plan->problem->num_epilogues; i++) {
    const kp_epilogue *step = &plan->problem->epilogues[i];
    struct eltwise function;
    if (plan->problem->precision != KP_MEDIUM && eltwise_of_epilogue(step, &function) &&
        loses_special_values(&function)) {
      if (i + 1 < plan->problem->num_epilogues || !finish_of_epilogue(plan->problem, &plan->finish))
        return plan_refuse(plan, KP_NO_EPILOGUE, step->name,
                           "precision medium: NaN or infinity is lost");
    } else if ((int)i != in_place) {
      if (!append_step(plan, view, step, operations)) return 0;
    } else if (plan->dnnl->post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef)) {
      return plan_refuse(plan, KP_NO_EPILOGUE, step->name, "a sum that oneDNN serves");
    }
  }
  return 1;
}

dnnl_primitive_attr_t epilogue_attributes(struct plan *plan, const struct output_view *view,
                                          int in_place) {
  const struct library *dnnl = plan->dnnl;
  dnnl_post_ops_t operations = NULL;
  int made = 0;
  if (plan->problem->num_epilogues > MOST_STEPS) {
    plan_refuse_number(plan, KP_NO_EPILOGUE, "steps of the epilogue", "<= 8",
                       plan->problem->num_epilogues);
    return NULL;
  }
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return NULL;
  if (dnnl->post_ops_create(&operations) ||
      (plan->problem->precision == KP_MEDIUM &&
       dnnl->primitive_attr_set_fpmath_mode(attributes, dnnl_fpmath_mode_bf16))) {
    plan_refuse(plan, KP_NO_MEMORY, "attributes", "memory for a primitive's attributes");
  } else if (append_steps(plan, view, in_place, operations)) {
    made = dnnl->primitive_attr_set_post_ops(attributes, operations) == dnnl_success ||
           plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "one that oneDNN serves");
  }
  if (operations) dnnl->post_ops_destroy(operations);
  if (made) return attributes;
  dnnl->primitive_attr_destroy(attributes);
  return NULL;
}

int epilogue_inputs(struct plan *plan, const struct output_view *view,
                    dnnl_primitive_desc_t primitive, struct epilogue_places *places) {
  const kp_problem *problem = plan->problem;
  const uint32_t prefix = (view->factor != 1) + (view->term != NULL);
  places->count = 0;
  if (view->term)
    places->arguments[places->count++] =
        (struct argument){operand_name(prefix - 1), plan_buffer(view->term_input, view->term)};
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *step = &problem->epilogues[i];
    dnnl_alg_kind_t algorithm;
    if (!binary_algorithm(step->name, &algorithm)) continue;
    const uint32_t input = (uint32_t)step->input;
    const int name = operand_name(prefix + i);
    const_dnnl_memory_desc_t wanted = plan_query(primitive, plan, dnnl_query_exec_arg_md, name);
    const kp_tensor *tensor = &problem->inputs[input];
    const_dnnl_memory_desc_t native = wanted;
    if (tensor_is_any(tensor)) {
      const char *layout = view->rank == 4 ? plan_layout_name(plan, tensor, wanted) : "nchw";
      if (!layout) return plan_refuse(plan, KP_NO_LAYOUT, "epilogue's input", "a named layout");
      plan_answer_layout(plan, input, layout);
    } else {
      native = plan_desc(plan, view->rank, view->shape, tensor_dtype(tensor), tensor->layout);
    }
    const struct place place = plan_input(plan, input, native, wanted);
    if (place.kind == PLACE_NONE) return 0;
    places->arguments[places->count++] = (struct argument){name, place};
  }
  return 1;
}

int epilogue_arguments(struct plan *plan, const struct epilogue_places *places, int in_place) {
  const int replaced = in_place < 0 ? -1 : operand_name((uint32_t)in_place);
  for (uint32_t i = 0; i < places->count; i++)
    if (places->arguments[i].name != replaced &&
        !plan_argument(plan, places->arguments[i].name, places->arguments[i].place))
      return 0;
  return 1;
}

int epilogue_in_place(const kp_problem *problem) {
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *step = &problem->epilogues[i];
    if (strcmp(step->name, "add") != 0) continue;
    int readers = step->input >= 0 && (uint32_t)step->input < problem->num_operator_inputs;
    for (uint32_t j = 0; j < problem->num_epilogues; j++)
      readers += problem->epilogues[j].input == step->input;
    if (readers == 1) return (int)i;
  }
  return -1;
}

const char *epilogue_layout(const kp_problem *problem) {
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const int32_t input = problem->epilogues[i].input;
    if (input >= 0 && (uint32_t)input < problem->num_inputs &&
        !tensor_is_any(&problem->inputs[input]))
      return problem->inputs[input].layout;
  }
  return "any";
}
