/*
 * Functions of vectors of `real`, accurate to a few units in the last place, with NaN, infinities
 * and signed zeros as IEEE 754 and C have them. For float they are polynomials; double goes lane
 * by lane through the C library.
 */
#ifndef PORTABLE_MATH_REAL_H
#define PORTABLE_MATH_REAL_H

#include <math.h>

#include "real.h"

#if REAL_BITS == 64
typedef i64v realm; /* a mask: what a comparison of realv gives */
#define REAL_SIGN_BIT INT64_MIN
LEVEL_INLINE realv select_real(realm mask, realv a, realv b) {
  return (realv)(((realm)a & mask) | ((realm)b & ~mask));
}
#else
#include "activation.h"
typedef i32v realm;
#define REAL_SIGN_BIT INT32_MIN
#define select_real select_f32
#define maximum_real maximum_f32
#define minimum_real minimum_f32
#endif

LEVEL_INLINE realv abs_real(realv x) { return (realv)((realm)x & ~REAL_SIGN_BIT); }
LEVEL_INLINE realv copysign_real(realv size, realv sign) {
  return (realv)(((realm)size & ~REAL_SIGN_BIT) | ((realm)sign & REAL_SIGN_BIT));
}

#if REAL_BITS == 64

/* The larger (smaller) of each pair; NaN where either is. */
LEVEL_INLINE realv maximum_real(realv a, realv b) { return select_real((a > b) | (a != a), a, b); }
LEVEL_INLINE realv minimum_real(realv a, realv b) { return select_real((a < b) | (a != a), a, b); }

#define MATH_BY_LANE(name)                                       \
  LEVEL_INLINE realv name##_real(realv x) {                      \
    for (int i = 0; i < (int)REAL_LANES; i++) x[i] = name(x[i]); \
    return x;                                                    \
  }
MATH_BY_LANE(exp)
MATH_BY_LANE(log)
MATH_BY_LANE(tanh)
MATH_BY_LANE(erf)
MATH_BY_LANE(expm1)
MATH_BY_LANE(rint)
MATH_BY_LANE(sin)
MATH_BY_LANE(atan)
MATH_BY_LANE(cos)
#undef MATH_BY_LANE
LEVEL_INLINE realv sigmoid_real(realv x) { return 1.0 / (1.0 + exp_real(-x)); }
LEVEL_INLINE realv silu_real(realv x) { return x * sigmoid_real(x); }
LEVEL_INLINE realv elu_real(realv x, realv alpha) {
  return select_real(x < 0, alpha * expm1_real(x), x);
}
LEVEL_INLINE realv gelu_real(realv x) {
  for (int i = 0; i < (int)REAL_LANES; i++) x[i] *= 0.5 * erfc(-M_SQRT1_2 * x[i]);
  return x;
}
LEVEL_INLINE realv gelu_tanh_real(realv x) {
  realv inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
  return x * sigmoid_real(inner + inner);
}

#else

#define exp_real exp_f32
#define expm1_real expm1_f32
#define elu_real elu_f32
#define silu_real silu_f32
#define tanh_real tanh_f32
#define erf_real erf_f32
#define sigmoid_real sigmoid_f32
#define gelu_real gelu_f32
#define gelu_tanh_real gelu_tanh_f32
#define rint_real round_f32
#define log_real log_f32
#define sin_real sin_f32
#define cos_real cos_f32
#define atan_real atan_f32

/* ln x: x = 2^k (1 + f) with 1 + f from the half octave on each side of 1. */
LEVEL_INLINE f32v log_f32(f32v x) {
  i32v subnormal = x < 0x1p-126f;
  i32v bits = (i32v)select_f32(subnormal, x * 0x1p23f, x);
  i32v above = (i32v)((u32v)bits - 0x3f3504f3u); /* from sqrt(1/2); wraps for what isn't positive */
  i32v exponent = (above >> 23) - (subnormal & 23);
  f32v k = __builtin_convertvector(exponent, f32v);
  f32v f = (f32v)((above & 0x7fffff) + 0x3f3504f3) - 1.0f;
  f32v p = broadcast_f32(0x1.145778p-4f);
  p = fma_f32(p, f, broadcast_f32(-0x1.de3bdep-4f));
  p = fma_f32(p, f, broadcast_f32(0x1.e6f052p-4f));
  p = fma_f32(p, f, broadcast_f32(-0x1.fc220ap-4f));
  p = fma_f32(p, f, broadcast_f32(0x1.23376ap-3f));
  p = fma_f32(p, f, broadcast_f32(-0x1.555c4ep-3f));
  p = fma_f32(p, f, broadcast_f32(0x1.99a4b6p-3f));
  p = fma_f32(p, f, broadcast_f32(-0x1.000006p-2f));
  p = fma_f32(p, f, broadcast_f32(0x1.555548p-2f));
  f32v square = f * f;
  f32v tail = fma_f32(p * f, square, k * -0x1.bd0106p-13f) - square * 0.5f;
  f32v result = fma_f32(k, broadcast_f32(0x1.63p-1f), f + tail);
  f32v infinity = broadcast_f32(INFINITY);
  result = select_f32(x == infinity, infinity, result);
  result = select_f32(x == 0.0f, -infinity, result);
  return select_f32(x >= 0.0f, result, broadcast_f32(NAN));
}

/* The angle whose tangent is x: above 1 it is a quarter turn less that of 1 / x. */
LEVEL_INLINE f32v atan_f32(f32v x) {
  const f32v size = abs_real(x);
  const i32v is_steep = size > 1.0f;
  const f32v t = select_f32(is_steep, 1.0f / size, size), square = t * t;
  f32v p = broadcast_f32(-0x1.d62f82p-10f);
  p = fma_f32(p, square, broadcast_f32(0x1.65a61ep-7f));
  p = fma_f32(p, square, broadcast_f32(-0x1.fed126p-6f));
  p = fma_f32(p, square, broadcast_f32(0x1.dac9c6p-5f));
  p = fma_f32(p, square, broadcast_f32(-0x1.583488p-4f));
  p = fma_f32(p, square, broadcast_f32(0x1.c099fcp-4f));
  p = fma_f32(p, square, broadcast_f32(-0x1.2421b4p-3f));
  p = fma_f32(p, square, broadcast_f32(0x1.9991fep-3f));
  p = fma_f32(p, square, broadcast_f32(-0x1.55553ep-2f));
  const f32v angle = fma_f32(t * square, p, t);
  return copysign_real(select_f32(is_steep, 0x1.921fb6p0f - angle, angle), x);
}

#define FARTHEST_ANGLE                                                      \
  0x1p20f /* up to which a quarter's first part times their number is exact \
           */

typedef double wide_f64v __attribute__((vector_size(2 * sizeof(f32v))));
typedef int64_t wide_i64v __attribute__((vector_size(2 * sizeof(f32v))));

/* The angle x less a whole number of quarter turns, which `quarters` counts: from -pi/4 to pi/4.
 * The difference is formed in double, for next to a multiple all digits of a float cancel. */
LEVEL_INLINE f32v reduced_angle_f32(f32v x, i32v *quarters) {
  const double shift = 0x1.8p52; /* its unit in the last place is 1 */
  const wide_f64v wide = __builtin_convertvector(x, wide_f64v);
  const wide_f64v shifted = wide * 0x1.45f306dc9c883p-1 + shift, count = shifted - shift;
  *quarters = __builtin_convertvector((wide_i64v)shifted, i32v);
  return __builtin_convertvector((wide - count * 0x1.921fb544p0) - count * 0x1.0b4611a626331p-34,
                                 f32v);
}

/* The sine of x and `ahead` quarter turns more. */
LEVEL_INLINE f32v turned_sin_f32(f32v x, int ahead) {
  i32v quarters;
  const f32v r = reduced_angle_f32(x, &quarters), square = r * r;
  f32v s = fma_f32(square, broadcast_f32(0x1.6ccea8p-19f), broadcast_f32(-0x1.a00f72p-13f));
  s = fma_f32(square, s, broadcast_f32(0x1.111108p-7f));
  s = fma_f32(square, s, broadcast_f32(-0x1.555556p-3f));
  s = fma_f32(r * square, s, r);
  f32v c = fma_f32(square, broadcast_f32(0x1.99e788p-16f), broadcast_f32(-0x1.6c0c26p-10f));
  c = fma_f32(square, c, broadcast_f32(0x1.55554ap-5f));
  c = fma_f32(square * square, c, fma_f32(square, broadcast_f32(-0.5f), broadcast_f32(1.0f)));
  quarters += ahead;
  const f32v result = select_f32((quarters & 1) != 0, c, s);
  return (f32v)((i32v)result ^ ((quarters & 2) << 30));
}

#define MATH_OF_ANGLE(name, ahead)                                    \
  LEVEL_INLINE f32v name##_f32(f32v x) {                              \
    const i32v near = abs_real(x) <= FARTHEST_ANGLE; /* false: NaN */ \
    f32v result = turned_sin_f32(x, ahead);                           \
    int all = -1;                                                     \
    for (int i = 0; i < (int)F32_LANES; i++) all &= near[i];          \
    if (!all)                                                         \
      for (int i = 0; i < (int)F32_LANES; i++)                        \
        if (!near[i]) result[i] = name##f(x[i]);                      \
    return result;                                                    \
  }
MATH_OF_ANGLE(sin, 0)
MATH_OF_ANGLE(cos, 1)
#undef MATH_OF_ANGLE

#endif

#endif
