/* Sums of runs of `real` as doubles, and their largest and smallest. */
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

/* The numbers of a vector's lanes. */
#if REAL_BITS == 64
#define REAL_IOTA F64_IOTA
#else
#define REAL_IOTA F32_IOTA
#endif

/* Sums of values that are rounded as they are: so many in a lane before they are joined in
 * doubles. */
enum { RUN_STEPS = 16 };

/* All lanes together, by halves. */
#define ACROSS(name, vector, iota, lanes, a, b, expression)                 \
  LEVEL_INLINE vector name(vector a) {                                      \
    _Pragma("GCC unroll 4") for (int step = (lanes) / 2; step; step /= 2) { \
      const vector b = __builtin_shuffle(a, (iota) ^ step);                 \
      a = (expression);                                                     \
    }                                                                       \
    return a;                                                               \
  }
ACROSS(across_f64, f64v, F64_IOTA, F64_LANES, a, b, a + b)
ACROSS(across_sum, realv, REAL_IOTA, (int)REAL_LANES, a, b, a + b)
ACROSS(across_largest, realv, REAL_IOTA, (int)REAL_LANES, a, b, maximum_real(b, a))
ACROSS(across_smallest, realv, REAL_IOTA, (int)REAL_LANES, a, b, minimum_real(b, a))
#undef ACROSS

/* Finite lanes leave it as it is; others make a NaN of it. */
LEVEL_INLINE realv watch(realv watched, realv v) { return fma_real(v, (realv){0}, watched); }
LEVEL_INLINE int saw_infinity(realv watched) {
  const real all = across_sum(watched)[0];
  return all != all;
}

/* What is added up: a value, or the square of what it is from a centre. */
#define TERM(x, center, squared) ((squared) ? ((x) - (center)) * ((x) - (center)) : (x))

/* Of a run in doubles. */
static __attribute__((noinline, unused)) double sum_widely(const real *p, int64_t n, double center,
                                                           int squared) {
  const f64v from = broadcast_f64(center);
  f64v sums[4] = {{0}};
  int64_t i = 0;
  for (; i + 4 * (int)F64_LANES <= n; i += 4 * F64_LANES)
    for (int k = 0; k < 4; k++) {
      const f64v x = load_wide(p + i + k * (int)F64_LANES);
      sums[k] += TERM(x, from, squared);
    }
  double sum = across_f64((sums[0] + sums[1]) + (sums[2] + sums[3]))[0];
  for (; i < n; i++) sum += TERM(p[i], center, squared);
  return sum;
}

#if REAL_BITS == 64
LEVEL_INLINE double sum_of(const real *p, int64_t n) { return sum_widely(p, n, 0, 0); }
LEVEL_INLINE double squares_of(const real *p, int64_t n, double center) {
  return sum_widely(p, n, center, 1);
}
#else

/* Floats are added up as floats in runs: RUN_STEPS in each lane of four vectors. */
enum { RUN = RUN_STEPS * 4 * (int)F32_LANES };

/* Of at most RUN values. */
LEVEL_INLINE float sum_of_run(const float *p, int64_t n, f32v center, int squared) {
  f32v sums[4] = {{0}};
  int64_t i = 0;
  for (; i + 4 * (int)F32_LANES <= n; i += 4 * F32_LANES)
    for (int k = 0; k < 4; k++) {
      const f32v x = load_f32(p + i + k * (int)F32_LANES);
      sums[k] += TERM(x, center, squared);
    }
  _Pragma("GCC unroll 3") for (int k = 0; k < 3; k++) {
    if (i + (int)F32_LANES > n) break;
    const f32v x = load_f32(p + i);
    sums[k] += TERM(x, center, squared);
    i += F32_LANES;
  }
  if (i < n) {
    const int lanes = (int)(n - i);
    const f32v x = load_f32_first(p + i, lanes);
    sums[3] += (f32v)((i32v)TERM(x, center, squared) & (F32_IOTA < lanes));
  }
  return across_sum((sums[0] + sums[1]) + (sums[2] + sums[3]))[0];
}

/* What is too large for a float, or lost in its smallest, is added up again in doubles. */
LEVEL_INLINE double sum_of(const real *p, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += RUN) {
    const int64_t count = n - i < RUN ? n - i : RUN;
    const float run = sum_of_run(p + i, count, (f32v){0}, 0);
    sum += run - run == 0 ? run : sum_widely(p + i, count, 0, 0);
  }
  return sum;
}

/* Sum of (p[i] - center)^2. */
LEVEL_INLINE double squares_of(const real *p, int64_t n, double center) {
  const f32v from = broadcast_f32((float)center);
  double sum = 0;
  for (int64_t i = 0; i < n; i += RUN) {
    const int64_t count = n - i < RUN ? n - i : RUN;
    const float run = sum_of_run(p + i, count, from, 1);
    sum += run > 1e-30f && run < INFINITY ? run : sum_widely(p + i, count, center, 1);
  }
  return sum;
}
#endif

/* Largest (smallest) of n values, NaN where there is one; an infinity of none. */
#define EXTREME(name, combine, across, none)                                               \
  LEVEL_INLINE real name(const real *p, int64_t n) {                                       \
    realv best[2] = {broadcast_real(none), broadcast_real(none)};                          \
    int64_t i = 0;                                                                         \
    for (; i + 2 * (int)REAL_LANES <= n; i += 2 * REAL_LANES)                              \
      for (int k = 0; k < 2; k++)                                                          \
        best[k] = combine(load_real(p + i + k * (int)REAL_LANES), best[k]);                \
    if (i + (int)REAL_LANES <= n) {                                                        \
      best[0] = combine(load_real(p + i), best[0]);                                        \
      i += REAL_LANES;                                                                     \
    }                                                                                      \
    if (i < n) {                                                                           \
      const int lanes = (int)(n - i);                                                      \
      const realv x = load_real_first(p + i, lanes);                                       \
      best[1] = combine(select_real(REAL_IOTA < lanes, x, broadcast_real(none)), best[1]); \
    }                                                                                      \
    return across(combine(best[0], best[1]))[0];                                           \
  }
EXTREME(largest_of, maximum_real, across_largest, -(real)INFINITY)
EXTREME(smallest_of, minimum_real, across_smallest, (real)INFINITY)
#undef EXTREME
#undef TERM

#endif
