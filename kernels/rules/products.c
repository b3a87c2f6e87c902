/* products.c: matrix products and convolutions. */
#include "operators.h"

static int same_dtypes(const kp_problem *problem, kp_answer *answer) {
  return rules_same_dtype(answer, &problem->inputs[1], "the second input's dtype",
                          problem->inputs) ||
         rules_same_dtype(answer, problem->outputs, "y.dtype", problem->inputs);
}

static int same_bias_dtype(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *bias = &problem->inputs[2];
  return !kp_is_absent(bias) && rules_same_dtype(answer, bias, "bias", problem->inputs);
}

int rule_bias_shape(const kp_problem *problem, kp_answer *answer, int64_t extent) {
  const kp_tensor *bias = &problem->inputs[2];
  return !kp_is_absent(bias) && rules_shape(answer, bias, "bias", 1, &extent);
}

int rule_matmul(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *a = &problem->inputs[0];
  int64_t transpose_a, transpose_b;
  double alpha;
  if (rules_flag(problem, answer, "transpose_a", &transpose_a) ||
      rules_flag(problem, answer, "transpose_b", &transpose_b) ||
      rules_reals(problem, answer, "alpha", 1, &alpha) || same_dtypes(problem, answer) ||
      same_bias_dtype(problem, answer))
    return 1;
  if (a->dl.dtype.code != kDLFloat && a->dl.dtype.code != kDLBfloat && alpha != 1)
    return rules_no_attribute(answer, "alpha", "1 for integers");
  return rule_product_shapes(problem, answer, transpose_a, transpose_b) ||
         rule_bias_shape(problem, answer,
                         problem->outputs->dl.shape[problem->outputs->dl.ndim - 1]);
}

int rule_product_shapes(const kp_problem *problem, kp_answer *answer, int64_t transpose_a,
                        int64_t transpose_b) {
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = problem->outputs;
  const int32_t ra = a->dl.ndim, rb = b->dl.ndim;
  if (ra < 2) return rules_rank(answer, a, "a", 2);
  if (rb < 2) return rules_rank(answer, b, "b", 2);
  const int64_t rows = a->dl.shape[ra - (transpose_a ? 1 : 2)];
  const int64_t inner = a->dl.shape[ra - (transpose_a ? 2 : 1)];
  const int64_t columns = b->dl.shape[rb - (transpose_b ? 2 : 1)];
  if (b->dl.shape[rb - (transpose_b ? 1 : 2)] != inner)
    return rules_no_shape(answer, "b", "as many rows as a has columns");
  const kp_tensor *const inputs[] = {a, b};
  if (rules_broadcast(answer, inputs, 2, y, 2)) return 1;
  if (y->dl.shape[y->dl.ndim - 2] != rows || y->dl.shape[y->dl.ndim - 1] != columns)
    return rules_no_shape(answer, "y", "a's rows and b's columns");
  return 0;
}

int rule_linear(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *y = problem->outputs;
  const int32_t rank = x->dl.ndim;
  if (rank < 1) return rules_rank(answer, x, "x", 1);
  if (rules_rank(answer, w, "w", 2) || rules_rank(answer, y, "y", rank) ||
      same_dtypes(problem, answer))
    return 1;
  if (w->dl.shape[1] != x->dl.shape[rank - 1])
    return rules_no_shape(answer, "w", "as many columns as x");
  for (int32_t i = 0; i < rank; i++)
    if (y->dl.shape[i] != (i < rank - 1 ? x->dl.shape[i] : w->dl.shape[0]))
      return rules_no_shape(answer, "y", "x's rows and w's");
  return rules_vector(answer, &problem->inputs[2], "bias", w->dl.shape[0], x);
}

/* Ranks, groups and the window's attributes of both convolutions. */
static int read_convolution(const kp_problem *problem, kp_answer *answer, window *w,
                            int64_t *groups) {
  const kp_tensor *x = &problem->inputs[0], *weights = &problem->inputs[1];
  if (rules_rank(answer, x, "x", 4) || rules_rank(answer, weights, "w", 4) ||
      rules_rank(answer, problem->outputs, "y", 4) ||
      rules_integer(problem, answer, "groups", 1, RULES_LARGEST, groups) ||
      window_attributes(problem, answer, 1, w))
    return 1;
  for (int i = 0; i < 2; i++) {
    w->kernel[i] = weights->dl.shape[2 + i];
    if (w->kernel[i] < 1 || w->kernel[i] > RULES_LARGEST)
      return rules_no_shape(answer, "w", "a kernel of at least 1x1");
  }
  if (x->dl.shape[1] % *groups) return rules_no_attribute(answer, "groups", "a divisor");
  return 0;
}

int rule_conv2d(const kp_problem *problem, kp_answer *answer) {
  return same_dtypes(problem, answer) || same_bias_dtype(problem, answer) ||
         rule_convolution_shapes(problem, answer) ||
         rule_bias_shape(problem, answer, problem->inputs[1].dl.shape[0]);
}

int rule_convolution_shapes(const kp_problem *problem, kp_answer *answer) {
  const int64_t *x = problem->inputs[0].dl.shape, *weights = problem->inputs[1].dl.shape;
  const int64_t *y = problem->outputs->dl.shape;
  window w;
  int64_t groups;
  if (read_convolution(problem, answer, &w, &groups)) return 1;
  if (weights[0] % groups) return rules_no_attribute(answer, "groups", "a divisor");
  if (weights[1] != x[1] / groups) return rules_no_shape(answer, "w", "x's channels by groups");
  if (y[0] != x[0] || y[1] != weights[0]) return rules_no_shape(answer, "y", "x's by w's");
  return window_output(answer, &w, x + 2, 0, y + 2);
}

int rule_conv_transpose2d(const kp_problem *problem, kp_answer *answer) {
  return same_dtypes(problem, answer) || same_bias_dtype(problem, answer) ||
         rule_transposed_convolution_shapes(problem, answer);
}

int rule_transposed_convolution_shapes(const kp_problem *problem, kp_answer *answer) {
  const int64_t *x = problem->inputs[0].dl.shape, *weights = problem->inputs[1].dl.shape;
  const int64_t *y = problem->outputs->dl.shape;
  window w;
  int64_t groups, extra[2], outputs;
  if (read_convolution(problem, answer, &w, &groups) ||
      rules_integers(problem, answer, "output_padding", 2, 0, RULES_LARGEST, extra))
    return 1;
  if (weights[0] != x[1]) return rules_no_shape(answer, "w", "x's channels");
  if (__builtin_mul_overflow(weights[1], groups, &outputs) || y[0] != x[0] || y[1] != outputs)
    return rules_no_shape(answer, "y", "x's by w's");
  for (int i = 0; i < 2; i++) {
    if (extra[i] >= (w.strides[i] > w.dilations[i] ? w.strides[i] : w.dilations[i]))
      return rules_no_attribute(answer, "output_padding", "less than the stride or the dilation");
    if (x[2 + i] < 1) return rules_no_shape(answer, "x", "pixels");
    const __int128 full =
        (__int128)(x[2 + i] - 1) * w.strides[i] + (__int128)(w.kernel[i] - 1) * w.dilations[i] + 1;
    if (full + extra[i] - w.pads[i] - w.pads[2 + i] != y[2 + i])
      return rules_no_shape(answer, "y", "the window's output");
  }
  return rule_bias_shape(problem, answer, outputs);
}

/* ---- Integers ---------------------------------------------------------------------- */

static int is_byte(const kp_tensor *t) {
  return kp_is_dtype(t, kDLUInt, 8) || kp_is_dtype(t, kDLInt, 8);
}

/* Absent, or one number or `extent` of them, of the operand's dtype. */
static int check_zero_point(kp_answer *answer, const kp_tensor *point, const char *subject,
                            const kp_tensor *operand, int64_t extent) {
  if (kp_is_absent(point)) return 0;
  if (rules_same_dtype(answer, point, subject, operand)) return 1;
  if (point->dl.ndim > 1) return rules_rank(answer, point, subject, 1);
  if (point->dl.ndim == 1 && point->dl.shape[0] != 1 && point->dl.shape[0] != extent)
    return rules_no_shape(answer, subject, "one, or one for each channel");
  return 0;
}

/* Bytes less their zero points into int32; `channels` of the second operand. */
static int check_integers(const kp_problem *problem, kp_answer *answer, int64_t channels,
                          int64_t products) {
  const kp_tensor *inputs = problem->inputs;
  if (!is_byte(&inputs[0]) || !is_byte(&inputs[1])) {
    kp_refuse(answer, KP_NO_DTYPE, "inputs", "uint8 or int8");
    return 1;
  }
  if (!kp_is_dtype(problem->outputs, kDLInt, 32)) {
    kp_refuse(answer, KP_NO_DTYPE, "y.dtype", "int32");
    return 1;
  }
  if (products > INT32_MAX / (255 * 255))
    return rules_no_shape(answer, "products in a sum", "as many as int32 holds");
  return check_zero_point(answer, &inputs[2], "the first zero point", &inputs[0], 1) ||
         check_zero_point(answer, &inputs[3], "the second zero point", &inputs[1], channels);
}

int rule_matmul_integer(const kp_problem *problem, kp_answer *answer) {
  const DLTensor *a = &problem->inputs[0].dl, *y = &problem->outputs->dl;
  return rule_product_shapes(problem, answer, 0, 0) ||
         check_integers(problem, answer, y->shape[y->ndim - 1], a->shape[a->ndim - 1]);
}

int rule_conv_integer(const kp_problem *problem, kp_answer *answer) {
  const int64_t *w = problem->inputs[1].dl.shape;
  return rule_convolution_shapes(problem, answer) ||
         check_integers(problem, answer, w[0], rules_filter_size(w));
}
