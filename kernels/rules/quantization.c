/* quantization.c: quantised tensors, their arithmetic and their operators' rules. */
#include "quantization.h"

#include <float.h>
#include <math.h>

#include "operators.h"

/* ---- Arithmetic ------------------------------------------------------------------ */

quantized_range quantized_dtype_range(const kp_tensor *t) {
  if (t->dl.dtype.bits != 8) return (quantized_range){INT32_MIN, INT32_MAX};
  return t->dl.dtype.code == kDLUInt ? (quantized_range){0, 255} : (quantized_range){-128, 127};
}

int32_t quantized_store(double real, float scale, int32_t zero, quantized_range range) {
  const float whole = rintf((float)real / scale);
  const double stored = (double)whole + zero;
  return stored <= range.low ? range.low : stored >= range.high ? range.high : (int32_t)stored;
}

quantized_range quantized_output_range(const kp_problem *problem) {
  const kp_tensor *y = problem->outputs;
  const quantized_range full = quantized_dtype_range(y);
  const float scale = quantized_scale(y, 0);
  const int32_t zero = quantized_zero(y, 0);
  quantized_range range = full;
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *step = &problem->epilogues[i];
    const int is_relu = strcmp(step->name, "relu") == 0;
    const int32_t low = is_relu ? zero : quantized_store(step->alpha, scale, zero, full);
    const int32_t high = is_relu ? full.high : quantized_store(step->beta, scale, zero, full);
    /* min(max(v, low), high) of what lies in the range so far lies in: */
    range.low = range.low < low ? low : range.low;
    range.low = range.low > high ? high : range.low;
    range.high = range.high < low ? low : range.high;
    range.high = range.high > high ? high : range.high;
  }
  return range;
}

/* ---- What the rules are made of ---------------------------------------------------- */

static int no_quantization(kp_answer *answer, const char *subject, const char *limit) {
  kp_refuse(answer, KP_NO_QUANTIZATION, subject, limit);
  return 1;
}

static int is_stored(const kp_tensor *t) {
  return kp_is_dtype(t, kDLUInt, 8) || kp_is_dtype(t, kDLInt, 8);
}

enum { NO_AXIS = -1, ANY_AXIS = INT32_MAX };

/* A tensor of uint8 or int8 (int32 where `sums` allows it) with one scale, or with scales along
 * `axis`. */
static int check_quantized(kp_answer *answer, const kp_tensor *t, const char *subject, int32_t axis,
                           int sums) {
  const kp_quantization *q = t->quantization;
  if (!is_stored(t) && !(sums && kp_is_dtype(t, kDLInt, 32))) {
    kp_refuse(answer, KP_NO_DTYPE, subject, sums ? "uint8, int8 or int32" : "uint8 or int8");
    return 1;
  }
  if (!q) return no_quantization(answer, subject, "quantised");
  if (q->axis != NO_AXIS && axis != ANY_AXIS && q->axis != axis) {
    kp_refuse_number(answer, KP_NO_QUANTIZATION, subject, "scales along the operator's axis",
                     q->axis);
    return 1;
  }
  if (q->axis < NO_AXIS || q->axis >= t->dl.ndim ||
      q->count != (q->axis == NO_AXIS ? 1 : t->dl.shape[q->axis]))
    return no_quantization(answer, subject, "a scale for each index of the axis");
  quantized_range zeros = quantized_dtype_range(t);
  if (!is_stored(t)) zeros = (quantized_range){0, 0};
  for (int64_t i = 0; i < q->count; i++) {
    if (!(q->scales[i] > 0 && q->scales[i] < INFINITY))
      return no_quantization(answer, subject, "finite scales above 0");
    if (q->zero_points[i] < zeros.low || q->zero_points[i] > zeros.high) {
      kp_refuse_number(answer, KP_NO_QUANTIZATION, subject, "zero points within the dtype",
                       q->zero_points[i]);
      return 1;
    }
  }
  return 0;
}

static int check_steps(const kp_problem *problem, kp_answer *answer) {
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *step = &problem->epilogues[i];
    const int is_clip = strcmp(step->name, "clip") == 0;
    if ((!is_clip && strcmp(step->name, "relu") != 0) ||
        (is_clip && (isnan(step->alpha) || isnan(step->beta)))) {
      kp_refuse(answer, KP_NO_EPILOGUE, "epilogue", "relu or clip");
      return 1;
    }
  }
  return 0;
}

static int check_multiplier(kp_answer *answer, float multiplier) {
  if (multiplier >= FLT_MIN && multiplier <= FLT_MAX) return 0;
  return no_quantization(answer, "scales", "x * w / y a normal float32");
}

/* How far a stored value may lie from its zero point. */
static int64_t largest_distance(const kp_tensor *t) {
  const quantized_range range = quantized_dtype_range(t);
  int64_t largest = t->quantization->count ? 0 : range.high - range.low;
  for (int64_t i = 0; i < t->quantization->count; i++) {
    const int64_t zero = t->quantization->zero_points[i];
    if (range.high - zero > largest) largest = range.high - zero;
    if (zero - range.low > largest) largest = zero - range.low;
  }
  return largest;
}

/* Operands, result, bias, multipliers, and sums of so many products that int32 holds; `axis` is
 * that of the second operand's scales. */
static int check_product(const kp_problem *problem, kp_answer *answer, int32_t axis,
                         int64_t products) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *bias = &problem->inputs[2];
  const kp_tensor *y = problem->outputs;
  if (check_quantized(answer, x, "x", NO_AXIS, 0) || check_quantized(answer, w, "w", axis, 0) ||
      check_quantized(answer, y, "y", NO_AXIS, 0) || check_steps(problem, answer))
    return 1;
  if (!kp_is_absent(bias)) {
    if (bias->quantization) return no_quantization(answer, "bias", "plain int32");
    if (!kp_is_dtype(bias, kDLInt, 32)) {
      kp_refuse(answer, KP_NO_DTYPE, "bias", "int32");
      return 1;
    }
  }
  for (int64_t i = 0; i < w->quantization->count; i++)
    if (check_multiplier(answer, quantized_multiplier(x, w, y, i))) return 1;
  if (products > INT32_MAX / (largest_distance(x) * largest_distance(w)))
    return rules_no_shape(answer, "products in a sum", "as many as int32 holds");
  return 0;
}

/* ---- Rules --------------------------------------------------------------------------- */

int rule_qconv2d(const kp_problem *problem, kp_answer *answer) {
  const int64_t *w = problem->inputs[1].dl.shape;
  return rule_convolution_shapes(problem, answer) || rule_bias_shape(problem, answer, w[0]) ||
         check_product(problem, answer, 0, rules_filter_size(w));
}

int rule_qconv_transpose2d(const kp_problem *problem, kp_answer *answer) {
  if (rule_transposed_convolution_shapes(problem, answer)) return 1;
  const int64_t *w = problem->inputs[1].dl.shape, groups = kp_integer(problem, "groups", 0, 1);
  const int64_t filter[] = {w[1], w[0] / groups, w[2], w[3]};
  return check_product(problem, answer, 1, rules_filter_size(filter));
}

int rule_qmatmul(const kp_problem *problem, kp_answer *answer) {
  const DLTensor *a = &problem->inputs[0].dl, *b = &problem->inputs[1].dl;
  return rule_product_shapes(problem, answer, 0, 0) ||
         rule_bias_shape(problem, answer, b->shape[b->ndim - 1]) ||
         check_product(problem, answer, b->ndim - 1, a->shape[a->ndim - 1]);
}

int rule_dynamic_quantize_linear(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *y = problem->outputs;
  if (!kp_is_dtype(problem->inputs, kDLFloat, 32) || !kp_is_dtype(&y[0], kDLUInt, 8) ||
      !kp_is_dtype(&y[1], kDLFloat, 32) || !kp_is_dtype(&y[2], kDLUInt, 8)) {
    kp_refuse(answer, KP_NO_DTYPE, "dtypes", "float32 to uint8, float32 and uint8");
    return 1;
  }
  return rules_same_shape(answer, &y[0], "y", problem->inputs) ||
         rules_rank(answer, &y[1], "scale", 0) || rules_rank(answer, &y[2], "zero_point", 0);
}

int rule_quantize_linear(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  if (x->quantization) return no_quantization(answer, "x", "plain");
  if (!kp_is_dtype(x, kDLFloat, 32) && !kp_is_dtype(x, kDLFloat, 16) &&
      !kp_is_dtype(x, kDLBfloat, 16)) {
    kp_refuse(answer, KP_NO_DTYPE, "x.dtype", "float32, float16 or bfloat16");
    return 1;
  }
  return rules_same_shape(answer, y, "y", x) || check_quantized(answer, y, "y", ANY_AXIS, 0) ||
         check_steps(problem, answer);
}

int rule_dequantize_linear(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  if (y->quantization) return no_quantization(answer, "y", "plain");
  if (!kp_is_dtype(y, kDLFloat, 32)) {
    kp_refuse(answer, KP_NO_DTYPE, "y.dtype", "float32");
    return 1;
  }
  return rules_same_shape(answer, y, "y", x) || check_quantized(answer, x, "x", ANY_AXIS, 1);
}

/* One operand and the result, of one scale each, and their ratio. */
static int check_operand(const kp_problem *problem, kp_answer *answer, uint32_t index,
                         const char *subject) {
  const kp_tensor *x = &problem->inputs[index];
  if (check_quantized(answer, x, subject, NO_AXIS, 0)) return 1;
  const float ratio = quantized_ratio(x, problem->outputs);
  if (!(ratio >= 0x1p-100f && ratio <= 0x1p100f))
    return no_quantization(answer, "scales", "x / y from 2^-100 to 2^100");
  return 0;
}

static int check_pair(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *const inputs[] = {&problem->inputs[0], &problem->inputs[1]};
  return rules_broadcast(answer, inputs, 2, problem->outputs, 0) ||
         check_quantized(answer, problem->outputs, "y", NO_AXIS, 0) || check_steps(problem, answer);
}

int rule_qadd(const kp_problem *problem, kp_answer *answer) {
  return check_pair(problem, answer) || check_operand(problem, answer, 0, "a") ||
         check_operand(problem, answer, 1, "b");
}

int rule_qmul(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1];
  if (check_pair(problem, answer) || check_quantized(answer, a, "a", NO_AXIS, 0) ||
      check_quantized(answer, b, "b", NO_AXIS, 0))
    return 1;
  return check_multiplier(answer, quantized_multiplier(a, b, problem->outputs, 0));
}

int rule_qsoftmax(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  int64_t axis;
  return rules_integer(problem, answer, "axis", 0, x->dl.ndim - 1, &axis) ||
         rules_same_shape(answer, y, "y", x) || check_quantized(answer, x, "x", NO_AXIS, 0) ||
         check_quantized(answer, y, "y", NO_AXIS, 0);
}

static int check_average(const kp_problem *problem, kp_answer *answer) {
  return check_quantized(answer, problem->outputs, "y", NO_AXIS, 0) ||
         check_steps(problem, answer) || check_operand(problem, answer, 0, "x");
}

int rule_qavg_pool2d(const kp_problem *problem, kp_answer *answer) {
  return rule_avg_pool2d_shapes(problem, answer) || check_average(problem, answer);
}

int rule_qglobal_avg_pool2d(const kp_problem *problem, kp_answer *answer) {
  if (rule_global_pool2d_shapes(problem, answer) || check_average(problem, answer)) return 1;
  const int64_t *x = problem->inputs->dl.shape, most = INT64_C(1) << 23;
  return x[2] <= most && x[3] <= most / x[2] ? 0 : rules_no_shape(answer, "x", "<= 2^23 pixels");
}

static int check_view(const kp_problem *problem, kp_answer *answer, const kp_tensor *quantized,
                      const kp_tensor *plain, const char *subject) {
  if (plain->quantization) return no_quantization(answer, "the integers", "plain");
  return rules_same_dtype(answer, problem->outputs, "y.dtype", problem->inputs) ||
         rules_same_shape(answer, problem->outputs, "y", problem->inputs) ||
         check_quantized(answer, quantized, subject, ANY_AXIS, 1);
}

int rule_as_quantized(const kp_problem *problem, kp_answer *answer) {
  return check_view(problem, answer, problem->outputs, problem->inputs, "y");
}

int rule_as_stored(const kp_problem *problem, kp_answer *answer) {
  return check_view(problem, answer, problem->inputs, problem->outputs, "x");
}
