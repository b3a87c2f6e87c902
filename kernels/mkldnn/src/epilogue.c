#include "epilogue.h"

#include <string.h>

#include "eltwise.h"
#include "tensor.h"

enum { MOST_STEPS = 8 };

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

static int append_steps(struct plan *plan, const struct output_view *view,
                        dnnl_post_ops_t operations) {
  for (uint32_t i = 0; i < plan->problem->num_epilogues; i++)
    if (!append_step(plan, view, &plan->problem->epilogues[i], operations)) return 0;
  return 1;
}

dnnl_primitive_attr_t epilogue_attributes(struct plan *plan, const struct output_view *view) {
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
  } else if (append_steps(plan, view, operations)) {
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
  places->count = 0;
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *step = &problem->epilogues[i];
    dnnl_alg_kind_t algorithm;
    if (!binary_algorithm(step->name, &algorithm)) continue;
    const uint32_t input = (uint32_t)step->input;
    const int name = DNNL_ARG_ATTR_MULTIPLE_POST_OP((int)i) | DNNL_ARG_SRC_1;
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

int epilogue_arguments(struct plan *plan, const struct epilogue_places *places) {
  for (uint32_t i = 0; i < places->count; i++)
    if (!plan_argument(plan, places->arguments[i].name, places->arguments[i].place)) return 0;
  return 1;
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
