/* Sums of `real` in double: halves of vectors as vectors of double. */
#ifndef PORTABLE_WIDE_H
#define PORTABLE_WIDE_H

#include "math_real.h"

#if REAL_BITS == 64
LEVEL_INLINE f64v load_wide(const real *p) { return load_f64(p); }
LEVEL_INLINE void store_wide(real *p, f64v v) { store_f64(p, v); }
#else
typedef float f32_half __attribute__((vector_size(LEVEL_VECTOR_BYTES / 2)));
typedef float f32_half_unaligned
    __attribute__((vector_size(LEVEL_VECTOR_BYTES / 2), aligned(4), may_alias));
LEVEL_INLINE f64v load_wide(const real *p) {
  return __builtin_convertvector((f32_half) * (const f32_half_unaligned *)p, f64v);
}
LEVEL_INLINE void store_wide(real *p, f64v v) {
  *(f32_half_unaligned *)p = __builtin_convertvector(v, f32_half);
}
#endif

LEVEL_INLINE double add_lanes(f64v v) {
  double sum = 0;
  for (int i = 0; i < (int)F64_LANES; i++) sum += v[i];
  return sum;
}

/* Sum of n values; the order depends on n alone. */
LEVEL_INLINE double sum_of(const real *p, int64_t n) {
  f64v sums[4] = {{0}};
  int64_t i = 0;
  for (; i + 4 * (int)F64_LANES <= n; i += 4 * F64_LANES)
    for (int k = 0; k < 4; k++) sums[k] += load_wide(p + i + k * (int)F64_LANES);
  double sum = add_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < n; i++) sum += p[i];
  return sum;
}

/* Sum of (p[i] - center)^2. */
LEVEL_INLINE double squares_of(const real *p, int64_t n, double center) {
  f64v sums[4] = {{0}};
  const f64v from = broadcast_f64(center);
  int64_t i = 0;
  for (; i + 4 * (int)F64_LANES <= n; i += 4 * F64_LANES)
    for (int k = 0; k < 4; k++) {
      f64v d = load_wide(p + i + k * (int)F64_LANES) - from;
      sums[k] += d * d;
    }
  double sum = add_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < n; i++) sum += (p[i] - center) * (p[i] - center);
  return sum;
}

/* Largest of n values, NaN where there is one; minus infinity of none. */
LEVEL_INLINE real largest_of(const real *p, int64_t n) {
  realv best = broadcast_real(-(real)INFINITY);
  int64_t i = 0;
  for (; i + (int)REAL_LANES <= n; i += REAL_LANES) best = maximum_real(load_real(p + i), best);
  real result = best[0];
  for (int k = 1; k < (int)REAL_LANES; k++)
    result = result > best[k] || result != result ? result : best[k];
  for (; i < n; i++) result = result > p[i] || result != result ? result : p[i];
  return result;
}

#endif
