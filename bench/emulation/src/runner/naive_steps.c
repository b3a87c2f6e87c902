#include "naive_steps.h"

static const char *const step_names[] = {"add",    "mul",        "relu",         "clip",
                                         "linear", "leaky_relu", "hard_sigmoid", "hard_swish"};

static int find_step(const char *name) {
  for (int kind = 0; kind < (int)(sizeof step_names / sizeof *step_names); kind++)
    if (!strcmp(step_names[kind], name)) return kind;
  return -1;
}

static int has_bias(const kp_problem *problem) {
  return problem->num_operator_inputs == 3 && !kp_is_absent(&problem->inputs[2]);
}

int naive_accepts(const kp_problem *problem, kp_answer *answer) {
  if (problem->num_outputs != 1 || problem->num_operator_inputs < 2 ||
      problem->num_operator_inputs > 3) {
    kp_refuse_number(answer, KP_NO_SHAPE, "inputs", "2 or 3", problem->num_operator_inputs);
    return 0;
  }
  for (uint32_t i = 0; i <= problem->num_inputs; i++) {
    const kp_tensor *t = i < problem->num_inputs ? &problem->inputs[i] : &problem->outputs[0];
    if (kp_is_absent(t)) {
      if (i == 2 && problem->num_operator_inputs == 3) continue;
      kp_refuse(answer, KP_NO_SHAPE, "inputs", "all but the bias");
      return 0;
    }
    if (!kp_is_dtype(t, kDLFloat, 32) || t->quantization) {
      kp_refuse(answer, KP_NO_DTYPE, "x.dtype", "float32");
      return 0;
    }
    if (!kp_is_layout(t, "nchw") && !kp_is_layout(t, "any")) {
      kp_refuse(answer, KP_NO_LAYOUT, "x.layout", "nchw");
      return 0;
    }
    memcpy(answer->layouts[i], "nchw", sizeof "nchw");
  }
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    if (i < NAIVE_MAX_STEPS && find_step(problem->epilogues[i].name) >= 0) continue;
    kp_refuse(answer, KP_NO_EPILOGUE, "epilogue", "at most 8 steps that need no function of libm");
    return 0;
  }
  return 1;
}

int naive_refuse_shape(kp_answer *answer, const char *subject, const char *limit, int64_t got) {
  kp_refuse_number(answer, KP_NO_SHAPE, subject, limit, got);
  return 0;
}

int naive_bias_fits(const kp_problem *problem, int64_t length, kp_answer *answer) {
  const kp_tensor *bias = &problem->inputs[2];
  if (!has_bias(problem) || (bias->dl.ndim == 1 && bias->dl.shape[0] == length)) return 1;
  return naive_refuse_shape(answer, "bias.shape", "one for each of y's channels",
                            kp_elements(bias));
}

naive_result naive_result_of(const kp_problem *problem) {
  naive_result result = {has_bias(problem), problem->num_inputs, problem->num_epilogues, {{0}}};
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *e = &problem->epilogues[i];
    result.steps[i] = (naive_step){(naive_step_kind)find_step(e->name), e->input, (float)e->alpha,
                                   (float)e->beta};
  }
  return result;
}
