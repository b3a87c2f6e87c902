/* The activations on vectors of float: about two units in the last place, NaN where x is NaN. */
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

LEVEL_INLINE f32v abs_f32(f32v x) { return (f32v)((i32v)x & INT32_MAX); }
LEVEL_INLINE f32v copysign_f32(f32v size, f32v sign) {
  return (f32v)((i32v)size | ((i32v)sign & INT32_MIN));
}

/* 2^n for whole n in [-126, 127]. */
LEVEL_INLINE f32v exp2_whole_f32(i32v n) { return (f32v)((n + 127) << 23); }

LEVEL_INLINE f32v exp_f32(f32v x) {
  f32v bounded = max_f32(broadcast_f32(-104.0f), min_f32(broadcast_f32(89.0f), x));
  f32v whole = round_f32(bounded * 1.44269504f);
  f32v rest = fma_f32(whole, broadcast_f32(-0x1.62e4p-1f), bounded);
  rest = fma_f32(whole, broadcast_f32(-0x1.7f7d1cp-20f), rest);
  f32v y = POLYNOMIAL_F32(rest, 1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f,
                          1.0f, 1.0f);
  /* In two steps, because 2^whole may be subnormal or too large itself. */
  i32v n = __builtin_convertvector(whole, i32v), half = n >> 1;
  return y * exp2_whole_f32(half) * exp2_whole_f32(n - half);
}

/* exp(x) - 1 without cancellation near 0. */
LEVEL_INLINE f32v expm1_f32(f32v x) {
  f32v near = x * POLYNOMIAL_F32(x, 1.0f / 40320, 1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                 1.0f / 6, 0.5f, 1.0f);
  return select_f32(abs_f32(x) < 0.5f, near, exp_f32(x) - 1.0f);
}

/* By an exponential that doesn't overflow, so that tiny results aren't lost. */
LEVEL_INLINE f32v sigmoid_f32(f32v x) {
  f32v e = exp_f32(-abs_f32(x));
  return select_f32(x < 0.0f, e, broadcast_f32(1.0f)) / (1.0f + e);
}

LEVEL_INLINE f32v tanh_f32(f32v x) {
  f32v size = abs_f32(x), square = x * x;
  f32v small = POLYNOMIAL_F32(square, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                              1.33314422036e-1f, -3.33332819422e-1f);
  small = fma_f32(small * square, x, x);
  f32v large = copysign_f32(1.0f - 2.0f / (exp_f32(size + size) + 1.0f), x);
  return select_f32(size < 0.625f, small, large);
}

/* 1 - erf(size) for size >= 1. */
LEVEL_INLINE f32v erfc_tail_f32(f32v size) {
  f32v inverse = 1.0f / size, square = inverse * inverse;
  f32v near =
      POLYNOMIAL_F32(square, 2.326819970068386e-2f, -1.387039388740657e-1f, 3.687424674597105e-1f,
                     -5.824733027278666e-1f, 6.210004621745983e-1f, -4.944515323274145e-1f,
                     3.404879937665872e-1f, -2.741127028184656e-1f, 5.638259427472472e-1f);
  f32v far = POLYNOMIAL_F32(square, -1.047766399936249e+1f, 1.297719955372516e+1f,
                            -7.495518717768503e+0f, 2.921019019210786e+0f, -1.015265279202700e+0f,
                            4.218463358204948e-1f, -2.820767439740514e-1f, 5.641895067754075e-1f);
  /* exp(-size^2) with the square's rounding error put back. */
  f32v high = size * size, low = fma_f32(size, size, -high);
  f32v tail = exp_f32(-high) * inverse * select_f32(size < 2.0f, near, far);
  return select_f32(size < 10.0f, fma_f32(tail, -low, tail), 0.0f * tail);
}

LEVEL_INLINE f32v erf_near_f32(f32v x) {
  f32v square = x * x;
  return x * POLYNOMIAL_F32(square, 7.853861353153693e-5f, -8.010193625184903e-4f,
                            5.188327685732524e-3f, -2.685381193529856e-2f, 1.128358514861418e-1f,
                            -3.761262582423300e-1f, 1.128379165726710e+0f);
}

LEVEL_INLINE f32v erf_f32(f32v x) {
  f32v size = abs_f32(x);
  f32v far = copysign_f32(1.0f - erfc_tail_f32(max_f32(broadcast_f32(1.0f), size)), x);
  return select_f32(size < 1.0f, erf_near_f32(x), far);
}

LEVEL_INLINE f32v gelu_f32(f32v x) {
  f32v scaled = x * 0.707106781f, size = abs_f32(scaled);
  f32v tail = erfc_tail_f32(max_f32(broadcast_f32(1.0f), size));
  f32v far = select_f32(x < 0.0f, tail, 2.0f - tail);
  return 0.5f * x * select_f32(size < 1.0f, 1.0f + erf_near_f32(scaled), far);
}

LEVEL_INLINE f32v gelu_tanh_f32(f32v x) {
  f32v inner = 0.797884561f * fma_f32(x * x * x, broadcast_f32(0.044715f), x);
  /* 1 + tanh(u) = 2 sigmoid(2 u), without the cancellation. */
  return x * sigmoid_f32(inner + inner);
}

#endif
