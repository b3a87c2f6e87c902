/* Advanced SIMD, as every AArch64 processor has it: 4 floats a vector, 32 registers. */
#ifndef PORTABLE_LEVEL_NEON_H
#define PORTABLE_LEVEL_NEON_H

#include <arm_neon.h>

#define LEVEL_VECTOR_BYTES 16
#define LEVEL_REGISTERS 32
#define LEVEL_LANE_PRODUCTS
#define LEVEL_TILE_ROWS 8
#define LEVEL_TILE_ROWS_CHUNKED 7 /* the rows' vectors are as many */
#define LEVEL_TILE_VECTORS 3
#define LEVEL_RATE 4e10
#define LEVEL_LINE_SECONDS 8e-9
#include "level_types.h"

#define LEVEL_HAS_SELECT
LEVEL_INLINE f32v select_f32(i32v mask, f32v a, f32v b) {
  return (f32v)vbslq_f32((uint32x4_t)mask, (float32x4_t)a, (float32x4_t)b);
}
/* FMAX and FMIN give NaN where either is one, unlike FMAXNM and FMINNM. */
LEVEL_INLINE f32v max_f32(f32v a, f32v x) {
  return (f32v)vmaxq_f32((float32x4_t)a, (float32x4_t)x);
}
LEVEL_INLINE f32v min_f32(f32v a, f32v x) {
  return (f32v)vminq_f32((float32x4_t)a, (float32x4_t)x);
}

#define LEVEL_HAS_ROUND
LEVEL_INLINE f32v round_f32(f32v v) { return (f32v)vrndnq_f32((float32x4_t)v); }

#define LEVEL_HAS_FIRST_F32
LEVEL_INLINE f32v load_f32_first(const float *p, int n) {
  float32x4_t v = vdupq_n_f32(0);
  if (n >= F32_LANES) return load_f32(p);
  if (n == 1) return (f32v)vld1q_lane_f32(p, v, 0);
  if (n >= 2) v = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
  return (f32v)(n == 3 ? vld1q_lane_f32(p + 2, v, 2) : v);
}
LEVEL_INLINE void store_f32_first(float *p, f32v v, int n) {
  if (n >= F32_LANES)
    store_f32(p, v);
  else if (n >= 2)
    vst1_f32(p, vget_low_f32((float32x4_t)v));
  if (n == 1) vst1q_lane_f32(p, (float32x4_t)v, 0);
  if (n == 3) vst1q_lane_f32(p + 2, (float32x4_t)v, 2);
}

#define LEVEL_HAS_FIRST_F64
LEVEL_INLINE f64v load_f64_first(const double *p, int n) {
  if (n >= F64_LANES) return load_f64(p);
  return (f64v)(n == 1 ? vld1q_lane_f64(p, vdupq_n_f64(0), 0) : vdupq_n_f64(0));
}
LEVEL_INLINE void store_f64_first(double *p, f64v v, int n) {
  if (n >= F64_LANES)
    store_f64(p, v);
  else if (n == 1)
    vst1q_lane_f64(p, (float64x2_t)v, 0);
}

#define LEVEL_HAS_FIRST_U16
LEVEL_INLINE u16h load_u16_first(const uint16_t *p, int n) {
  uint16x4_t v = vdup_n_u16(0);
  if (n >= F32_LANES) return load_u16(p);
  if (n >= 1) v = vld1_lane_u16(p, v, 0);
  if (n >= 2) v = vld1_lane_u16(p + 1, v, 1);
  return (u16h)(n == 3 ? vld1_lane_u16(p + 2, v, 2) : v);
}
LEVEL_INLINE void store_u16_first(uint16_t *p, u16h v, int n) {
  if (n >= F32_LANES) {
    store_u16(p, v);
    return;
  }
  if (n >= 1) vst1_lane_u16(p, (uint16x4_t)v, 0);
  if (n >= 2) vst1_lane_u16(p + 1, (uint16x4_t)v, 1);
  if (n == 3) vst1_lane_u16(p + 2, (uint16x4_t)v, 2);
}

#define LEVEL_HAS_F16
LEVEL_INLINE f32v f16_to_f32(u16h v) {
  return (f32v)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)v));
}
LEVEL_INLINE u16h f16_from_f32(f32v v) {
  return (u16h)vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)v));
}

#include "level_generic.h"

#endif
