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
LEVEL_INLINE f32v select_negative_f32(f32v x, f32v a, f32v b) {
  return select_f32((i32v)x < 0, a, b);
}
/* FMAX and FMIN give NaN where either is one, unlike FMAXNM and FMINNM. */
LEVEL_INLINE f32v max_f32(f32v a, f32v x) {
  return (f32v)vmaxq_f32((float32x4_t)a, (float32x4_t)x);
}
LEVEL_INLINE f32v min_f32(f32v a, f32v x) {
  return (f32v)vminq_f32((float32x4_t)a, (float32x4_t)x);
}

#define LEVEL_HAS_MAXIMUM
LEVEL_INLINE f32v maximum_f32(f32v a, f32v b) { return max_f32(a, b); }
LEVEL_INLINE f32v minimum_f32(f32v a, f32v b) { return min_f32(a, b); }

#define LEVEL_HAS_ROUND
LEVEL_INLINE f32v round_f32(f32v v) { return (f32v)vrndnq_f32((float32x4_t)v); }

#define LEVEL_HAS_ROUND_TO_I32
LEVEL_INLINE i32v round_to_i32(f32v v) { return (i32v)vcvtnq_s32_f32((float32x4_t)v); }

#define LEVEL_HAS_BYTES
LEVEL_INLINE uint8x8_t level_load_bytes(const void *p) {
  uint32_t four;
  memcpy(&four, p, sizeof four);
  return vcreate_u8(four);
}
LEVEL_INLINE i32v load_u8_as_i32(const uint8_t *p) {
  return (i32v)vmovl_u16(vget_low_u16(vmovl_u8(level_load_bytes(p))));
}
LEVEL_INLINE i32v load_i8_as_i32(const int8_t *p) {
  return (i32v)vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(level_load_bytes(p)))));
}
LEVEL_INLINE void store_i32_as_u8(uint8_t *p, i32v v) {
  const uint16x4_t shorts = vmovn_u32((uint32x4_t)v);
  const uint8x8_t bytes = vmovn_u16(vcombine_u16(shorts, shorts));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  memcpy(p, &four, sizeof four);
}

#define LEVEL_HAS_NARROW
#define LEVEL_ROUND_SATURATES
LEVEL_INLINE i16v narrow_i32(i32v a, i32v b) {
  return (i16v)vqmovn_high_s32(vqmovn_s32((int32x4_t)a), (int32x4_t)b);
}
LEVEL_INLINE i16v bound_i16(i16v v, i16v low, i16v high) {
  return (i16v)vminq_s16(vmaxq_s16((int16x8_t)v, (int16x8_t)low), (int16x8_t)high);
}
/* The lowest bytes; `b`'s behind `a`'s. */
LEVEL_INLINE u8v lowest_bytes(i16v a, i16v b) {
  return (u8v)vuzp1q_u8((uint8x16_t)a, (uint8x16_t)b);
}
/* The first n bytes, n < 16; the others are zero. */
LEVEL_INLINE u8v load_u8_first(const uint8_t *p, int n) {
  const uint8x16_t zero = vdupq_n_u8(0);
  uint8x16_t v = zero;
  if (n & 1) v = vld1q_lane_u8(p + (n & ~1), v, 0);
  if (n & 2) {
    uint16_t two;
    memcpy(&two, p + (n & ~3), sizeof two);
    v = (uint8x16_t)vsetq_lane_u16(two, (uint16x8_t)vextq_u8(zero, v, 14), 0);
  }
  if (n & 4) {
    uint32_t four;
    memcpy(&four, p + (n & ~7), sizeof four);
    v = (uint8x16_t)vsetq_lane_u32(four, (uint32x4_t)vextq_u8(zero, v, 12), 0);
  }
  return (u8v)(n & 8 ? vcombine_u8(vld1_u8(p), vget_low_u8(v)) : v);
}
LEVEL_INLINE void store_u8_first(uint8_t *p, u8v v, int n) {
  uint8x16_t rest = (uint8x16_t)v;
  if (n & 8) {
    vst1_u8(p, vget_low_u8(rest));
    rest = vextq_u8(rest, rest, 8);
    p += 8;
  }
  if (n & 4) {
    const uint32_t four = vgetq_lane_u32(vreinterpretq_u32_u8(rest), 0);
    memcpy(p, &four, sizeof four);
    rest = vextq_u8(rest, rest, 4);
    p += 4;
  }
  if (n & 2) {
    vst1q_lane_u8(p, rest, 0);
    vst1q_lane_u8(p + 1, rest, 1);
    rest = vextq_u8(rest, rest, 2);
    p += 2;
  }
  if (n & 1) vst1q_lane_u8(p, rest, 0);
}

/* The four first values of the lanes lie in the low half, the second ones in the high half. */
#define LEVEL_HAS_DOT_I16
#define LEVEL_DOT_I16_HALVES
LEVEL_INLINE i32v dot_i16(i32v sum, u32v a, u32v b) {
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t low = vmlal_s16((int32x4_t)sum, vget_low_s16(x), vget_low_s16(y));
  return (i32v)vmlal_high_s16(low, x, y);
}

/* Lanes of products from rows of bytes, four vectors at once: of four rows, or of two. */
#define LEVEL_HAS_GATHER
LEVEL_INLINE void gather_i8(const u8v *rows, u32v *to) {
  const uint8x16_t a = (uint8x16_t)rows[0], b = (uint8x16_t)rows[1];
  const uint8x16_t c = (uint8x16_t)rows[2], d = (uint8x16_t)rows[3];
  const uint8x16_t even[2] = {vzip1q_u8(a, c), vzip2q_u8(a, c)};
  const uint8x16_t odd[2] = {vzip1q_u8(b, d), vzip2q_u8(b, d)};
  to[0] = (u32v)vzip1q_u8(even[0], odd[0]);
  to[1] = (u32v)vzip2q_u8(even[0], odd[0]);
  to[2] = (u32v)vzip1q_u8(even[1], odd[1]);
  to[3] = (u32v)vzip2q_u8(even[1], odd[1]);
}
/* Less their zero point. */
LEVEL_INLINE void gather_i16(const u8v *rows, u8v zero, u32v *to) {
  const uint8x16_t a = (uint8x16_t)rows[0], b = (uint8x16_t)rows[1], z = (uint8x16_t)zero;
  const int64x2_t first[2] = {(int64x2_t)vsubl_u8(vget_low_u8(a), vget_low_u8(z)),
                              (int64x2_t)vsubl_high_u8(a, z)};
  const int64x2_t second[2] = {(int64x2_t)vsubl_u8(vget_low_u8(b), vget_low_u8(z)),
                               (int64x2_t)vsubl_high_u8(b, z)};
  to[0] = (u32v)vzip1q_s64(first[0], second[0]);
  to[1] = (u32v)vzip2q_s64(first[0], second[0]);
  to[2] = (u32v)vzip1q_s64(first[1], second[1]);
  to[3] = (u32v)vzip2q_s64(first[1], second[1]);
}

/* Four lanes of `a` at once, of which lane `i` counts. */
#define LEVEL_DOT_I16_ROW_LANES 4
LEVEL_INLINE i32v dot_i16_lane(i32v sum, u32v a, int i, u32v b) {
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t s = (int32x4_t)sum;
  const int16x4_t low = vget_low_s16(y);
  switch (i) {
    case 0:
      return (i32v)vmlal_high_laneq_s16(vmlal_laneq_s16(s, low, x, 0), y, x, 1);
    case 1:
      return (i32v)vmlal_high_laneq_s16(vmlal_laneq_s16(s, low, x, 2), y, x, 3);
    case 2:
      return (i32v)vmlal_high_laneq_s16(vmlal_laneq_s16(s, low, x, 4), y, x, 5);
    default:
      return (i32v)vmlal_high_laneq_s16(vmlal_laneq_s16(s, low, x, 6), y, x, 7);
  }
}

#define LEVEL_HAS_PAIRS
LEVEL_INLINE void load_pairs_f32(const float *p, f32v *even, f32v *odd) {
  float32x4x2_t pairs = vld2q_f32(p);
  *even = (f32v)pairs.val[0], *odd = (f32v)pairs.val[1];
}

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
