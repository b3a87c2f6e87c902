#include "eltwise.h"

#include <math.h>
#include <string.h>

/* A parameter is fixed, or an attribute's value, or an epilogue step's alpha or beta. */
struct parameter {
  const char *attribute; /* NULL: fixed */
  float value;           /* fixed, or the attribute's default */
};

static const struct function {
  const char *name;
  dnnl_alg_kind_t algorithm;
  struct parameter alpha, beta;
} functions[] = {
    {"relu", dnnl_eltwise_relu, {NULL, 0}, {NULL, 0}},
    {"clip", dnnl_eltwise_clip_v2, {"minimum", -INFINITY}, {"maximum", INFINITY}},
    {"sigmoid", dnnl_eltwise_logistic, {NULL, 0}, {NULL, 0}},
    {"tanh", dnnl_eltwise_tanh, {NULL, 0}, {NULL, 0}},
    {"silu", dnnl_eltwise_swish, {NULL, 1}, {NULL, 0}},
    {"hard_swish", dnnl_eltwise_hardswish, {NULL, 1.0f / 6}, {NULL, 0.5f}},
    {"hard_sigmoid", dnnl_eltwise_hardsigmoid, {"alpha", 0.2f}, {"beta", 0.5f}},
    {"leaky_relu", dnnl_eltwise_relu, {"alpha", 0.01f}, {NULL, 0}},
    {"elu", dnnl_eltwise_elu, {"alpha", 1}, {NULL, 0}},
    {"linear", dnnl_eltwise_linear, {"alpha", 1}, {"beta", 0}},
    {"abs", dnnl_eltwise_abs, {NULL, 0}, {NULL, 0}},
    {"neg", dnnl_eltwise_linear, {NULL, -1}, {NULL, 0}},
    {"round", dnnl_eltwise_round, {NULL, 0}, {NULL, 0}},
    {"sqrt", dnnl_eltwise_sqrt, {NULL, 0}, {NULL, 0}},
};

static const struct function *find(const char *name) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (strcmp(functions[i].name, name) == 0) return &functions[i];
  return NULL;
}

static float attribute_value(const kp_problem *problem, const struct parameter *parameter) {
  if (!parameter->attribute) return parameter->value;
  return (float)kp_real(problem, parameter->attribute, 0, parameter->value);
}

int eltwise_of_operator(const kp_problem *problem, struct eltwise *function) {
  const struct function *found = find(problem->operator_name);
  if (!found) return 0;
  *function = (struct eltwise){found->algorithm, attribute_value(problem, &found->alpha),
                               attribute_value(problem, &found->beta)};
  return 1;
}

int eltwise_of_epilogue(const kp_epilogue *step, struct eltwise *function) {
  if (strcmp(step->name, "gelu") == 0) {
    *function =
        (struct eltwise){step->alpha == 1 ? dnnl_eltwise_gelu_tanh : dnnl_eltwise_gelu_erf, 0, 0};
    return 1;
  }
  const struct function *found = find(step->name);
  if (!found) return 0;
  *function = (struct eltwise){found->algorithm,
                               found->alpha.attribute ? (float)step->alpha : found->alpha.value,
                               found->beta.attribute ? (float)step->beta : found->beta.value};
  return 1;
}

int eltwise_keeps_zero(const struct eltwise *function) {
  return function->algorithm != dnnl_eltwise_logistic; /* the others that are operators do */
}

int eltwise_takes_exponential(const struct eltwise *function) {
  switch (function->algorithm) {
    case dnnl_eltwise_logistic:
    case dnnl_eltwise_tanh:
    case dnnl_eltwise_swish:
    case dnnl_eltwise_elu:
      return 1;
    default:
      return 0;
  }
}
