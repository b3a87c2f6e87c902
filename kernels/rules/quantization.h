/*
 * quantization.h: the arithmetic of quantised tensors, as every kernel here is held to it
 * (docs/decisions/0012-quantised-tensors.md; dispatch/quantization.py is its twin).
 *
 *   sum         of products (x - x_zero) * (w - w_zero), and the bias, exact modulo 2^32
 *   multiplier  x.scale * w.scale / y.scale, in this order, each step rounded to float
 *   stored      saturate(rint((float)sum * multiplier) + y_zero), half to even
 *   sum of two  rint((a - a_zero) * (a.scale / y.scale) + (b - b_zero) * (b.scale / y.scale)),
 *               each quotient, product and the sum rounded to float
 *   average     multiplier x.scale / y.scale / count
 *   softmax     rint(e * (1 / (sum of e * y.scale))), e = exp((x - largest) * x.scale), in double
 *
 * A fused "relu" or "clip" bounds the stored value by its bounds' own stored values.
 */
#ifndef OPERATOR_RULES_QUANTIZATION_H
#define OPERATOR_RULES_QUANTIZATION_H

#include "kernel_pack.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct quantized_range {
  int32_t low, high;
} quantized_range;

/* What a tensor's dtype holds: uint8, int8, else int32. */
quantized_range quantized_dtype_range(const kp_tensor *t);

/* Scale and zero point of index `i` along the quantised axis; the only ones where there is none. */
static inline float quantized_scale(const kp_tensor *t, int64_t i) {
  return t->quantization->scales[t->quantization->axis < 0 ? 0 : i];
}
static inline int32_t quantized_zero(const kp_tensor *t, int64_t i) {
  return t->quantization->zero_points[t->quantization->axis < 0 ? 0 : i];
}

/* The multiplier of index `i` along w's axis. */
static inline float quantized_multiplier(const kp_tensor *x, const kp_tensor *w, const kp_tensor *y,
                                         int64_t i) {
  const float product = quantized_scale(x, 0) * quantized_scale(w, i);
  return product / quantized_scale(y, 0);
}

/* Of operands that aren't multiplied with others. */
static inline float quantized_ratio(const kp_tensor *x, const kp_tensor *y) {
  return quantized_scale(x, 0) / quantized_scale(y, 0);
}

/* The stored value of a real one; `range` is that of the dtype. */
int32_t quantized_store(double real, float scale, int32_t zero, quantized_range range);

/* Where the problem's epilogue, of "relu" and "clip" alone, lets output 0's stored values lie. */
quantized_range quantized_output_range(const kp_problem *problem);

#ifdef __cplusplus
}
#endif
#endif
