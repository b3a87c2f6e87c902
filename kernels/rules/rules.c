/* rules.c: the operators' table, and what holds for all of them. */
#include "rules.h"

#include "operators.h"

enum { ANY_NUMBER = -1 };

typedef struct {
  const char *name;
  int inputs;        /* ANY_NUMBER: one or more */
  unsigned optional; /* bit i: input i may be absent */
  int outputs;
  operator_rule *rule;
} entry;

static const entry plain_operators[] = {
    {"abs", 1, 0, 1, rule_unary},
    {"add", 2, 0, 1, rule_binary},
    {"argmax", 1, 0, 1, rule_argmax},
    {"atan", 1, 0, 1, rule_unary},
    {"avg_pool2d", 1, 0, 1, rule_avg_pool2d},
    {"batch_norm", 5, 0, 1, rule_batch_norm},
    {"cast", 1, 0, 1, rule_cast},
    {"ceil", 1, 0, 1, rule_unary},
    {"channel_shuffle", 1, 0, 1, rule_channel_shuffle},
    {"clip", 1, 0, 1, rule_clip},
    {"concat", ANY_NUMBER, 0, 1, rule_concat},
    {"conv2d", 3, 4, 1, rule_conv2d},
    {"conv_integer", 4, 4 | 8, 1, rule_conv_integer},
    {"conv_transpose2d", 3, 4, 1, rule_conv_transpose2d},
    {"cos", 1, 0, 1, rule_unary},
    {"cumsum", 1, 0, 1, rule_cumsum},
    {"div", 2, 0, 1, rule_binary},
    {"dynamic_quantize_linear", 1, 0, 3, rule_dynamic_quantize_linear},
    {"elu", 1, 0, 1, rule_alpha},
    {"equal", 2, 0, 1, rule_compare},
    {"erf", 1, 0, 1, rule_unary},
    {"exp", 1, 0, 1, rule_unary},
    {"expand", 1, 0, 1, rule_expand},
    {"floor", 1, 0, 1, rule_unary},
    {"fmod", 2, 0, 1, rule_binary},
    {"gather", 2, 0, 1, rule_gather},
    {"gather_elements", 2, 0, 1, rule_gather_elements},
    {"gather_nd", 2, 0, 1, rule_gather_nd},
    {"gelu", 1, 0, 1, rule_gelu},
    {"global_avg_pool2d", 1, 0, 1, rule_global_pool2d},
    {"global_max_pool2d", 1, 0, 1, rule_global_pool2d},
    {"greater", 2, 0, 1, rule_compare},
    {"greater_equal", 2, 0, 1, rule_compare},
    {"grid_sample", 2, 0, 1, rule_grid_sample},
    {"gru", 6, 0x38, 2, rule_gru},
    {"hard_sigmoid", 1, 0, 1, rule_hard_sigmoid},
    {"hard_swish", 1, 0, 1, rule_unary},
    {"layer_norm", 3, 4, 1, rule_layer_norm},
    {"leaky_relu", 1, 0, 1, rule_alpha},
    {"less", 2, 0, 1, rule_compare},
    {"less_equal", 2, 0, 1, rule_compare},
    {"linear", 3, 4, 1, rule_linear},
    {"log", 1, 0, 1, rule_unary},
    {"log_softmax", 1, 0, 1, rule_softmax},
    {"logical_and", 2, 0, 1, rule_compare},
    {"logical_not", 1, 0, 1, rule_unary},
    {"logical_or", 2, 0, 1, rule_compare},
    {"logical_xor", 2, 0, 1, rule_compare},
    {"lookup", 2, 0, 1, rule_lookup},
    {"lrn", 1, 0, 1, rule_lrn},
    {"lstm", 8, 0xf8, 3, rule_lstm},
    {"matmul", 3, 4, 1, rule_matmul},
    {"matmul_integer", 4, 4 | 8, 1, rule_matmul_integer},
    {"max", 1, 0, 1, rule_reduction},
    {"max_pool2d", 1, 0, 1, rule_max_pool2d},
    {"maximum", 2, 0, 1, rule_binary},
    {"mean", 1, 0, 1, rule_reduction},
    {"min", 1, 0, 1, rule_reduction},
    {"minimum", 2, 0, 1, rule_binary},
    {"mod", 2, 0, 1, rule_binary},
    {"mul", 2, 0, 1, rule_binary},
    {"neg", 1, 0, 1, rule_unary},
    {"not_equal", 2, 0, 1, rule_compare},
    {"pad", 1, 0, 1, rule_pad},
    {"pow", 2, 0, 1, rule_binary},
    {"prelu", 2, 0, 1, rule_prelu},
    {"prod", 1, 0, 1, rule_reduction},
    {"reciprocal", 1, 0, 1, rule_unary},
    {"relu", 1, 0, 1, rule_unary},
    {"reorder", 1, 0, 1, rule_reorder},
    {"reshape", 1, 0, 1, rule_reshape},
    {"resize", 1, 0, 1, rule_resize},
    {"rnn", 6, 0x38, 2, rule_rnn},
    {"round", 1, 0, 1, rule_unary},
    {"rsqrt", 1, 0, 1, rule_unary},
    {"scatter_elements", 3, 0, 1, rule_scatter_elements},
    {"scatter_nd", 3, 0, 1, rule_scatter_nd},
    {"sigmoid", 1, 0, 1, rule_unary},
    {"sign", 1, 0, 1, rule_unary},
    {"silu", 1, 0, 1, rule_unary},
    {"sin", 1, 0, 1, rule_unary},
    {"slice", 1, 0, 1, rule_slice},
    {"softmax", 1, 0, 1, rule_softmax},
    {"split", 1, 0, ANY_NUMBER, rule_split},
    {"sqrt", 1, 0, 1, rule_unary},
    {"sub", 2, 0, 1, rule_binary},
    {"sum", 1, 0, 1, rule_reduction},
    {"tanh", 1, 0, 1, rule_unary},
    {"top_k", 1, 0, 2, rule_top_k},
    {"transpose", 1, 0, 1, rule_transpose},
    {"where", 3, 0, 1, rule_where},
};

/* They take or give quantised tensors, which their rules check. */
static const entry quantized_operators[] = {
    {"as_quantized", 1, 0, 1, rule_as_quantized},
    {"as_stored", 1, 0, 1, rule_as_stored},
    {"dequantize_linear", 1, 0, 1, rule_dequantize_linear},
    {"qadd", 2, 0, 1, rule_qadd},
    {"qavg_pool2d", 1, 0, 1, rule_qavg_pool2d},
    {"qconv2d", 3, 4, 1, rule_qconv2d},
    {"qconv_transpose2d", 3, 4, 1, rule_qconv_transpose2d},
    {"qglobal_avg_pool2d", 1, 0, 1, rule_qglobal_avg_pool2d},
    {"qmatmul", 3, 4, 1, rule_qmatmul},
    {"qmul", 2, 0, 1, rule_qmul},
    {"qsoftmax", 1, 0, 1, rule_qsoftmax},
    {"quantize_linear", 1, 0, 1, rule_quantize_linear},
};

static const entry *find(const entry *entries, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].name, name) == 0) return &entries[i];
  return NULL;
}
#define FIND(entries, name) find(entries, sizeof(entries) / sizeof *(entries), name)

static int refuse_count(kp_answer *answer, const char *subject, int wanted, uint32_t got) {
  if (wanted == ANY_NUMBER ? got > 0 : got == (uint32_t)wanted) return 0;
  kp_refuse_number(answer, KP_NO_SHAPE, subject, "as many as the operator has", got);
  return 1;
}

static int refuse_ranks(kp_answer *answer, const kp_tensor *tensors, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (tensors[i].dl.ndim > RULES_MAX_RANK) {
      kp_refuse_number(answer, KP_NO_RANK, "rank", "<= 64", tensors[i].dl.ndim);
      return 1;
    }
  return 0;
}

/* Quantised tensors, which the operator would take for plain integers. */
static int refuse_quantization(kp_answer *answer, const kp_tensor *tensors, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (tensors[i].quantization) {
      kp_refuse(answer, KP_NO_QUANTIZATION, "quantization", "none");
      return 1;
    }
  return 0;
}

int rules_refuse(const char *operator_name, const kp_problem *problem, kp_answer *answer) {
  if (strcmp(problem->operator_name, operator_name) != 0)
    return rules_no_attribute(answer, "operator", operator_name);
  const entry *quantized = FIND(quantized_operators, operator_name);
  const entry *found = quantized ? quantized : FIND(plain_operators, operator_name);
  if (!found) return rules_no_attribute(answer, "operator", "one with a rule");
  if (refuse_count(answer, "inputs", found->inputs, problem->num_operator_inputs) ||
      refuse_count(answer, "outputs", found->outputs, problem->num_outputs) ||
      refuse_ranks(answer, problem->inputs, problem->num_inputs) ||
      refuse_ranks(answer, problem->outputs, problem->num_outputs))
    return 1;
  for (uint32_t k = 0; k < problem->num_operator_inputs; k++)
    if (kp_is_absent(&problem->inputs[k]) && !(k < 32 && found->optional >> k & 1))
      return rules_no_shape(answer, "inputs", "all that aren't optional");
  if (!quantized && (refuse_quantization(answer, problem->inputs, problem->num_inputs) ||
                     refuse_quantization(answer, problem->outputs, problem->num_outputs)))
    return 1;
  return found->rule(problem, answer);
}
