/*
 * The activations on vectors of float, NaN where x is NaN. All floats were tried beside float64:
 * exp and expm1 are within 1.5 units in the last place, sigmoid, tanh and erf within 2.5; gelu is
 * within 2.5 for x > -2 and, as silu, within 10 where the result is a normal number; what tanh
 * approximates GELU with loses the digits of its polynomial below 0.
 */
#ifndef PORTABLE_ACTIVATION_H
#define PORTABLE_ACTIVATION_H

#include "level.h"

LEVEL_INLINE f32v polynomial_f32(f32v x, int count, const float *coefficients) {
  f32v y = broadcast_f32(coefficients[0]);
  for (int i = 1; i < count; i++) y = fma_f32(y, x, broadcast_f32(coefficients[i]));
  return y;
}
#define POLYNOMIAL_F32(x, ...)                                            \
  polynomial_f32(x, sizeof((const float[]){__VA_ARGS__}) / sizeof(float), \
                 (const float[]){__VA_ARGS__})

LEVEL_INLINE f32v negative_abs_f32(f32v x) { return (f32v)((i32v)x | INT32_MIN); }
LEVEL_INLINE f32v abs_f32(f32v x) { return (f32v)((i32v)x & INT32_MAX); }
LEVEL_INLINE f32v copysign_f32(f32v size, f32v sign) {
  return (f32v)((i32v)size | ((i32v)sign & INT32_MIN));
}

/*
 * x = whole * ln 2 + rest, for x from -104 to 89. The sum with EXPONENT_SHIFT has no bit for a
 * fraction, and whole + 254 in its lowest ones, as scale_f32 takes it.
 */
typedef struct split_f32 {
  f32v shifted, rest;
} split_f32;
LEVEL_INLINE split_f32 split_by_ln2_f32(f32v x) {
  const f32v shifted = fma_f32(x, broadcast_f32(0x1.715476p0f), broadcast_f32(EXPONENT_SHIFT));
  const f32v whole = shifted - EXPONENT_SHIFT;
  const f32v rest = fma_f32(whole, broadcast_f32(-0x1.62e4p-1f), x);
  return (split_f32){shifted, fma_f32(whole, broadcast_f32(-0x1.7f7d1cp-20f), rest)};
}

LEVEL_INLINE f32v exp_of_split_f32(split_f32 s) {
  const f32v y = POLYNOMIAL_F32(s.rest, 0x1.6a243p-10f, 0x1.1239e4p-7f, 0x1.5558f2p-5f,
                                0x1.555492p-3f, 0x1.fffffcp-2f, 1.0f, 1.0f);
  return scale_f32(y, s.shifted);
}

/* exp(x) for x from -104, below which it is 0, to 89, above which it is infinite. */
LEVEL_INLINE f32v exp_within_f32(f32v x) { return exp_of_split_f32(split_by_ln2_f32(x)); }

LEVEL_INLINE f32v exp_f32(f32v x) {
  return exp_within_f32(max_f32(broadcast_f32(-104.0f), min_f32(broadcast_f32(89.0f), x)));
}

/* exp(-|x|) */
LEVEL_INLINE f32v exp_below_f32(f32v x) {
  return exp_within_f32(max_f32(broadcast_f32(-104.0f), negative_abs_f32(x)));
}

/* exp(x) - 1 without cancellation near 0, for x from -26 to 89. */
LEVEL_INLINE f32v expm1_within_f32(f32v x) {
  const split_f32 s = split_by_ln2_f32(x);
  const f32v p = POLYNOMIAL_F32(s.rest, 0x1.6a4344p-10f, 0x1.122614p-7f, 0x1.55585ap-5f,
                                0x1.5554b2p-3f, 0x1.fffffep-2f);
  /* Twice the halves, because 2^whole may be too large itself. */
  const f32v half = scale_f32(broadcast_f32(0.5f), s.shifted);
  const f32v below = fma_f32(s.rest * s.rest, p, s.rest);
  const f32v y = fma_f32(half, below, half - 0.5f);
  return y + y;
}

LEVEL_INLINE f32v expm1_f32(f32v x) {
  return expm1_within_f32(max_f32(broadcast_f32(-26.0f), min_f32(broadcast_f32(89.0f), x)));
}

/* By an exponential that doesn't overflow, so that tiny results aren't lost. */
LEVEL_INLINE f32v sigmoid_f32(f32v x) {
  const f32v e = exp_below_f32(x);
  return select_negative_f32(x, e, broadcast_f32(1.0f)) / (1.0f + e);
}

LEVEL_INLINE f32v silu_f32(f32v x) { return x * sigmoid_f32(x); }
LEVEL_INLINE f32v elu_f32(f32v x, f32v alpha) {
  return select_negative_f32(x, alpha * expm1_f32(x), x);
}

/* (exp(2x) - 1) / (exp(2x) + 1) */
LEVEL_INLINE f32v tanh_f32(f32v x) {
  const f32v e = expm1_within_f32(min_f32(broadcast_f32(20.0f), abs_f32(x + x)));
  return copysign_f32(e / (e + 2.0f), x);
}

/* Near 0 an odd polynomial, further off 1 less the exponential of one. */
LEVEL_INLINE f32v erf_f32(f32v x) {
  const f32v size = abs_f32(x), square = x * x;
  const f32v near = POLYNOMIAL_F32(square, -0x1.56a27p-11f, 0x1.4d4254p-8f, -0x1.b76e9ep-6f,
                                   0x1.ce2804p-4f, -0x1.81272ep-2f, 0x1.20dd74p+0f);
  const f32v bounded = min_f32(broadcast_f32(4.0f), size); /* erf(4) rounds to 1 */
  const f32v rest = exp_within_f32(POLYNOMIAL_F32(bounded, 0x1.b5ac9cp-13f, -0x1.9ed41ap-9f,
                                                  0x1.73dfb2p-6f, -0x1.ad92dep-4f, -0x1.45b46cp-1f,
                                                  -0x1.20d664p+0f, -0x1.dce062p-15f));
  return select_f32(size < 0.8f, x * near, copysign_f32(1.0f - rest, x));
}

/*
 * The normal distribution's function at -size: exp(-size^2 / 2), with the square's rounding error
 * put back, by a rational function.
 */
LEVEL_INLINE f32v normal_tail_f32(f32v size) {
  const f32v t = min_f32(broadcast_f32(14.4f), size); /* where the result rounds to 0 */
  const f32v again = rounded_f32(t); /* lest the compiler take the square for the product below */
  const f32v square = t * t, lost = fma_f32(again, again, -square);
  split_f32 s = split_by_ln2_f32(-0.5f * square);
  s.rest = fma_f32(lost, broadcast_f32(-0.5f), s.rest);
  const f32v p =
      POLYNOMIAL_F32(t, 0x1.0cc38ap-8f, 0x1.4c0646p-5f, 0x1.76a418p-3f, 0x1.c06494p-2f, 0.5f);
  const f32v q = POLYNOMIAL_F32(t, 0x1.50d76ap-7f, 0x1.a0287p-4f, 0x1.dfe9d6p-2f, 0x1.338444p+0f,
                                0x1.ac747ap+0f, 1.0f);
  return exp_of_split_f32(s) * p / q;
}

LEVEL_INLINE f32v gelu_f32(f32v x) {
  const f32v tail = normal_tail_f32(abs_f32(x));
  return x * select_negative_f32(x, tail, 1.0f - tail);
}

LEVEL_INLINE f32v gelu_tanh_f32(f32v x) {
  /* 1 + tanh(u) = 2 sigmoid(2 u), without the cancellation. */
  const f32v twice = fma_f32(x * x, broadcast_f32(0x1.2444f2p-4f), broadcast_f32(0x1.988454p+0f));
  return x * sigmoid_f32(x * twice);
}

#endif
