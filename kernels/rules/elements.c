/* elements.c: operators that work element by element, reductions, normalisation. */
#include <math.h>

#include "operators.h"

static const DLDataType boolean = {kDLBool, 8, 1};

static int same_shape_and_dtype(const kp_problem *problem, kp_answer *answer) {
  return rules_same_dtype(answer, problem->outputs, "y.dtype", problem->inputs) ||
         rules_same_shape(answer, problem->outputs, "y", problem->inputs);
}

int rule_unary(const kp_problem *problem, kp_answer *answer) {
  return same_shape_and_dtype(problem, answer);
}

int rule_clip(const kp_problem *problem, kp_answer *answer) {
  static const char *const names[] = {"minimum", "maximum"};
  const int code = problem->inputs->dl.dtype.code;
  for (int i = 0; i < 2; i++) {
    double bound;
    if (rules_reals(problem, answer, names[i], 1, &bound)) return 1;
    if (code != kDLFloat && code != kDLBfloat && isfinite(bound) && bound != floor(bound))
      return rules_no_attribute(answer, names[i], "a whole number");
  }
  return same_shape_and_dtype(problem, answer);
}

int rule_alpha(const kp_problem *problem, kp_answer *answer) {
  return rules_reals(problem, answer, "alpha", 1, NULL) || same_shape_and_dtype(problem, answer);
}

int rule_hard_sigmoid(const kp_problem *problem, kp_answer *answer) {
  return rules_reals(problem, answer, "beta", 1, NULL) || rule_alpha(problem, answer);
}

int rule_gelu(const kp_problem *problem, kp_answer *answer) {
  static const char *const choices[] = {"none", "tanh", NULL};
  return rules_choice(problem, answer, "approximate", choices, NULL) ||
         same_shape_and_dtype(problem, answer);
}

int rule_cast(const kp_problem *problem, kp_answer *answer) {
  static const char *const names[] = {"bool",    "uint8",   "uint16",   "uint32", "uint64",
                                      "int8",    "int16",   "int32",    "int64",  "float16",
                                      "float32", "float64", "bfloat16", NULL};
  static const DLDataType dtypes[] = {
      {kDLBool, 8, 1},   {kDLUInt, 8, 1},   {kDLUInt, 16, 1},  {kDLUInt, 32, 1}, {kDLUInt, 64, 1},
      {kDLInt, 8, 1},    {kDLInt, 16, 1},   {kDLInt, 32, 1},   {kDLInt, 64, 1},  {kDLFloat, 16, 1},
      {kDLFloat, 32, 1}, {kDLFloat, 64, 1}, {kDLBfloat, 16, 1}};
  int chosen;
  if (rules_choice(problem, answer, "dtype", names, &chosen)) return 1;
  if (!kp_is_dtype(problem->outputs, dtypes[chosen].code, dtypes[chosen].bits)) {
    kp_refuse(answer, KP_NO_DTYPE, "y.dtype", "the attribute's");
    return 1;
  }
  return rules_same_shape(answer, problem->outputs, "y", problem->inputs);
}

int rule_reorder(const kp_problem *problem, kp_answer *answer) {
  return rules_same_shape(answer, problem->outputs, "y", problem->inputs);
}

static int broadcast_pair(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *const inputs[] = {&problem->inputs[0], &problem->inputs[1]};
  return rules_same_dtype(answer, inputs[1], "b.dtype", inputs[0]) ||
         rules_broadcast(answer, inputs, 2, problem->outputs, 0);
}

int rule_binary(const kp_problem *problem, kp_answer *answer) {
  return rules_same_dtype(answer, problem->outputs, "y.dtype", problem->inputs) ||
         broadcast_pair(problem, answer);
}

int rule_compare(const kp_problem *problem, kp_answer *answer) {
  if (!kp_is_dtype(problem->outputs, boolean.code, boolean.bits)) {
    kp_refuse(answer, KP_NO_DTYPE, "y.dtype", "bool");
    return 1;
  }
  return broadcast_pair(problem, answer);
}

int rule_prelu(const kp_problem *problem, kp_answer *answer) {
  return same_shape_and_dtype(problem, answer) || broadcast_pair(problem, answer);
}

int rule_where(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *const inputs[] = {&problem->inputs[0], &problem->inputs[1], &problem->inputs[2]};
  if (!kp_is_dtype(inputs[0], boolean.code, boolean.bits)) {
    kp_refuse(answer, KP_NO_DTYPE, "condition.dtype", "bool");
    return 1;
  }
  return rules_same_dtype(answer, inputs[2], "b.dtype", inputs[1]) ||
         rules_same_dtype(answer, problem->outputs, "y.dtype", inputs[1]) ||
         rules_broadcast(answer, inputs, 3, problem->outputs, 0);
}

/* The output's shape of a reduction over the axes marked. */
static int reduced_shape(const kp_problem *problem, kp_answer *answer, const char *reduced,
                         int64_t keep) {
  const kp_tensor *x = problem->inputs;
  int64_t shape[RULES_MAX_RANK];
  int32_t rank = 0;
  for (int32_t i = 0; i < x->dl.ndim; i++)
    if (keep || !reduced[i]) shape[rank++] = reduced[i] ? 1 : x->dl.shape[i];
  return rules_shape(answer, problem->outputs, "y", rank, shape);
}

int rule_reduction(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs;
  const kp_attribute *a = kp_find_attribute(problem, "axes");
  char reduced[RULES_MAX_RANK] = {0};
  int64_t axes[RULES_MAX_RANK], keep;
  const int count = a && a->count <= (uint32_t)x->dl.ndim ? (int)a->count : x->dl.ndim;
  if (rules_integers(problem, answer, "axes", count, 0, x->dl.ndim - 1, axes) ||
      rules_flag(problem, answer, "keepdims", &keep))
    return 1;
  for (int i = 0; i < count; i++) {
    if (i && axes[i] <= axes[i - 1]) return rules_no_attribute(answer, "axes", "ascending");
    reduced[axes[i]] = 1;
  }
  return rules_same_dtype(answer, problem->outputs, "y.dtype", x) ||
         reduced_shape(problem, answer, reduced, keep);
}

int rule_argmax(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs;
  char reduced[RULES_MAX_RANK] = {0};
  int64_t axis, keep, last;
  if (rules_integer(problem, answer, "axis", 0, x->dl.ndim - 1, &axis) ||
      rules_flag(problem, answer, "keepdims", &keep) ||
      rules_flag(problem, answer, "select_last_index", &last))
    return 1;
  if (x->dl.shape[axis] == 0) return rules_no_shape(answer, "x", "elements along the axis");
  if (!kp_is_dtype(problem->outputs, kDLInt, 64)) {
    kp_refuse(answer, KP_NO_DTYPE, "y.dtype", "int64");
    return 1;
  }
  reduced[axis] = 1;
  return reduced_shape(problem, answer, reduced, keep);
}

int rule_cumsum(const kp_problem *problem, kp_answer *answer) {
  int64_t axis, exclusive, reverse;
  return rules_integer(problem, answer, "axis", 0, problem->inputs->dl.ndim - 1, &axis) ||
         rules_flag(problem, answer, "exclusive", &exclusive) ||
         rules_flag(problem, answer, "reverse", &reverse) || same_shape_and_dtype(problem, answer);
}

int rule_top_k(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *values = &problem->outputs[0];
  const kp_tensor *indices = &problem->outputs[1];
  const int32_t rank = x->dl.ndim;
  int64_t axis, k, largest, shape[RULES_MAX_RANK];
  if (rules_integer(problem, answer, "axis", 0, rank - 1, &axis) ||
      rules_integer(problem, answer, "k", 0, x->dl.shape[axis], &k) ||
      rules_flag(problem, answer, "largest", &largest) ||
      rules_same_dtype(answer, values, "values.dtype", x))
    return 1;
  if (!kp_is_dtype(indices, kDLInt, 64)) {
    kp_refuse(answer, KP_NO_DTYPE, "indices.dtype", "int64");
    return 1;
  }
  for (int32_t i = 0; i < rank; i++) shape[i] = i == axis ? k : x->dl.shape[i];
  return rules_shape(answer, values, "values", rank, shape) ||
         rules_shape(answer, indices, "indices", rank, shape);
}

int rule_softmax(const kp_problem *problem, kp_answer *answer) {
  int64_t axis;
  return rules_integer(problem, answer, "axis", 0, problem->inputs->dl.ndim - 1, &axis) ||
         same_shape_and_dtype(problem, answer);
}

static int refuse_epsilon(const kp_problem *problem, kp_answer *answer) {
  double epsilon;
  if (rules_reals(problem, answer, "epsilon", 1, &epsilon)) return 1;
  return epsilon >= 0 ? 0 : rules_no_attribute(answer, "epsilon", ">= 0");
}

int rule_layer_norm(const kp_problem *problem, kp_answer *answer) {
  static const char *const names[] = {"x", "scale", "bias"};
  const kp_tensor *x = problem->inputs;
  int64_t axis;
  if (rules_integer(problem, answer, "axis", 0, x->dl.ndim - 1, &axis) ||
      refuse_epsilon(problem, answer))
    return 1;
  for (int i = 1; i < 3; i++)
    if (!kp_is_absent(&x[i]) &&
        (rules_same_dtype(answer, &x[i], names[i], x) ||
         rules_shape(answer, &x[i], names[i], x->dl.ndim - (int32_t)axis, x->dl.shape + axis)))
      return 1;
  return same_shape_and_dtype(problem, answer);
}

int rule_batch_norm(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs;
  if (x->dl.ndim < 2) return rules_rank(answer, x, "x", 2);
  for (int i = 1; i < 5; i++)
    if (rules_vector(answer, &x[i], "a channel's parameter", x->dl.shape[1], x)) return 1;
  return refuse_epsilon(problem, answer) || same_shape_and_dtype(problem, answer);
}

int rule_lrn(const kp_problem *problem, kp_answer *answer) {
  int64_t size;
  if (problem->inputs->dl.ndim < 2) return rules_rank(answer, problem->inputs, "x", 2);
  return rules_integer(problem, answer, "size", 1, RULES_LARGEST, &size) ||
         rules_reals(problem, answer, "alpha", 1, NULL) ||
         rules_reals(problem, answer, "beta", 1, NULL) ||
         rules_reals(problem, answer, "bias", 1, NULL) || same_shape_and_dtype(problem, answer);
}

int rule_lookup(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *table = &problem->inputs[1], *y = problem->outputs;
  if (table->dl.dtype.bits != 8 ||
      (table->dl.dtype.code != kDLInt && table->dl.dtype.code != kDLUInt)) {
    kp_refuse(answer, KP_NO_DTYPE, "table.dtype", "uint8 or int8");
    return 1;
  }
  static const int64_t entries = 256;
  return rules_shape(answer, table, "table", 1, &entries) ||
         rules_same_dtype(answer, y, "y.dtype", table) ||
         rules_same_shape(answer, y, "y", problem->inputs);
}
