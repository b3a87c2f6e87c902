/*
 * The level that any processor runs, and what the other levels leave to it: a level's header
 * defines LEVEL_VECTOR_BYTES and a LEVEL_HAS_ macro for each group of functions of its own,
 * then includes this one.
 */
#ifndef PORTABLE_LEVEL_GENERIC_H
#define PORTABLE_LEVEL_GENERIC_H

#ifndef LEVEL_VECTOR_BYTES
#define LEVEL_VECTOR_BYTES 16
#define LEVEL_REGISTERS 16
#define LEVEL_TILE_ROWS 6
#define LEVEL_TILE_ROWS_CHUNKED 6
#define LEVEL_TILE_VECTORS 2
#define LEVEL_RATE 2.5e10
#define LEVEL_LINE_SECONDS 8e-9
#endif

#include <math.h>

#include "level_types.h"

#ifndef LEVEL_HAS_SELECT
LEVEL_INLINE f32v select_f32(i32v mask, f32v a, f32v b) {
  return (f32v)(((i32v)a & mask) | ((i32v)b & ~mask));
}
LEVEL_INLINE f32v select_negative_f32(f32v x, f32v a, f32v b) {
  return select_f32((i32v)x < 0, a, b);
}
LEVEL_INLINE f32v max_f32(f32v a, f32v x) { return select_f32(a > x, a, x); }
LEVEL_INLINE f32v min_f32(f32v a, f32v x) { return select_f32(a < x, a, x); }
#endif

#ifndef LEVEL_HAS_MAXIMUM
LEVEL_INLINE f32v maximum_f32(f32v a, f32v b) { return select_f32((a > b) | (a != a), a, b); }
LEVEL_INLINE f32v minimum_f32(f32v a, f32v b) { return select_f32((a < b) | (a != a), a, b); }
#endif

#ifndef LEVEL_HAS_ROUND
/* Adding 1.5 * 2^23 leaves no bit for a fraction; larger values are whole already. */
LEVEL_INLINE f32v round_f32(f32v v) {
  f32v sign = (f32v)((i32v)v & INT32_MIN), size = (f32v)((i32v)v & INT32_MAX);
  volatile f32v shifted = size + 0x1p23f;
  f32v rounded = (f32v)((i32v)(shifted - 0x1p23f) | (i32v)sign);
  return select_f32(size < 0x1p23f, rounded, v);
}
#endif

#ifndef LEVEL_HAS_ROUND_TO_I32
LEVEL_INLINE i32v round_to_i32(f32v v) { return __builtin_convertvector(round_f32(v), i32v); }
#endif

#ifndef LEVEL_HAS_SCALE
/* In two steps, because 2^n may be subnormal or too large itself. */
LEVEL_INLINE f32v scale_f32(f32v v, f32v shifted) {
  const u32v biased = (u32v)shifted, half = biased >> 1;
  return v * (f32v)(half << 23) * (f32v)((biased - half) << 23);
}
#endif

#ifndef LEVEL_HAS_BYTES
typedef uint8_t level_bytes __attribute__((vector_size(16)));
typedef uint16_t level_shorts __attribute__((vector_size(16)));
/* The compiler makes better code of interleaving with zeros than of a conversion. */
LEVEL_INLINE i32v load_u8_as_i32(const uint8_t *p) {
  const level_bytes zero = {0}, first = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  const level_shorts second = {0, 8, 1, 9, 2, 10, 3, 11};
  level_bytes bytes = {0};
  memcpy(&bytes, p, F32_LANES);
  const level_shorts shorts = (level_shorts)__builtin_shuffle(bytes, zero, first);
  return (i32v)__builtin_shuffle(shorts, (level_shorts)zero, second);
}
LEVEL_INLINE i32v load_i8_as_i32(const int8_t *p) {
  return load_u8_as_i32((const uint8_t *)p) << 24 >> 24;
}
LEVEL_INLINE void store_i32_as_u8(uint8_t *p, i32v v) {
  for (int i = 0; i < (int)F32_LANES; i++) p[i] = (uint8_t)v[i];
}
#endif

#ifndef LEVEL_HAS_FIRST_BYTES
LEVEL_INLINE void store_i32_as_u8_first(uint8_t *p, i32v v, int n) {
  uint8_t bytes[F32_LANES];
  store_i32_as_u8(bytes, v);
  memcpy(p, bytes, (size_t)n);
}
#endif

#ifndef LEVEL_HAS_PAIRS
/* Elements 0, 2, 4 ... and 1, 3, 5 ... of two vectors from p on. */
LEVEL_INLINE void load_pairs_f32(const float *p, f32v *even, f32v *odd) {
  f32v low = load_f32(p), high = load_f32(p + F32_LANES);
  *even = even_f32(low, high), *odd = odd_f32(low, high);
}
#endif

#ifndef LEVEL_HAS_QUADS
LEVEL_INLINE f32v load_quads_f32(const float *p, int64_t stride) {
  (void)stride;
  return load_f32(p);
}
#endif

#ifndef LEVEL_HAS_FIRST_F32
LEVEL_INLINE f32v load_f32_first(const float *p, int n) {
  f32v v = {0};
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
}
LEVEL_INLINE void store_f32_first(float *p, f32v v, int n) { memcpy(p, &v, (size_t)n * sizeof *p); }
#endif

#ifndef LEVEL_HAS_FIRST_F64
LEVEL_INLINE f64v load_f64_first(const double *p, int n) {
  f64v v = {0};
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
}
LEVEL_INLINE void store_f64_first(double *p, f64v v, int n) {
  memcpy(p, &v, (size_t)n * sizeof *p);
}
#endif

#ifndef LEVEL_HAS_FIRST_U16
LEVEL_INLINE u16h load_u16_first(const uint16_t *p, int n) {
  u16h v = {0};
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
}
LEVEL_INLINE void store_u16_first(uint16_t *p, u16h v, int n) {
  memcpy(p, &v, (size_t)n * sizeof *p);
}
#endif

#ifndef LEVEL_HAS_TO_BF16
/* Round to nearest, ties to even; a NaN stays one. */
LEVEL_INLINE u16h bf16_from_f32(f32v v) {
  u32v bits = (u32v)v, nan = (u32v)(v != v);
  u32v rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return __builtin_convertvector(((rounded & ~nan) | ((bits | 0x400000) & nan)) >> 16, u16h);
}
#endif

#ifndef LEVEL_HAS_F16
/* A multiplication moves the exponent's bias, and makes subnormals normal; infinities and NaNs
 * get the exponent that they lack. */
LEVEL_INLINE f32v f16_to_f32(u16h v) {
  u32v bits = __builtin_convertvector(v, u32v), size = (bits & 0x7fff) << 13;
  u32v special = (u32v)(size >= (0x7c00u << 13)) & 0x7f800000;
  u32v scaled = (u32v)((f32v)size * 0x1p112f);
  return (f32v)(scaled | special | (bits & 0x8000) << 16);
}
LEVEL_INLINE u16h f16_from_f32(f32v v) {
  u32v bits = (u32v)v, sign = (bits >> 16) & 0x8000, size = bits & INT32_MAX;
  u32v normal = (size + 0xfff + ((size >> 13) & 1) - (112u << 23)) >> 13;
  /* 0.5 has its last bit where a half's subnormals have theirs. */
  u32v subnormal = (u32v)((f32v)size + 0.5f) - 0x3f000000u;
  u32v is_small = (u32v)(size < (113u << 23)), is_large = (u32v)(size >= 0x477ff000u);
  u32v is_nan = (u32v)(size > 0x7f800000u);
  u32v large = 0x7c00 | (is_nan & (0x200 | ((size >> 13) & 0x3ff)));
  u32v result = (subnormal & is_small) | (large & is_large) | (normal & ~is_small & ~is_large);
  return __builtin_convertvector(sign | result, u16h);
}
#endif

LEVEL_INLINE f32v load_bf16(const uint16_t *p) { return bf16_to_f32(load_u16(p)); }
LEVEL_INLINE f32v load_bf16_first(const uint16_t *p, int n) {
  return bf16_to_f32(load_u16_first(p, n));
}
LEVEL_INLINE void store_bf16(uint16_t *p, f32v v) { store_u16(p, bf16_from_f32(v)); }
LEVEL_INLINE void store_bf16_first(uint16_t *p, f32v v, int n) {
  store_u16_first(p, bf16_from_f32(v), n);
}
LEVEL_INLINE f32v load_f16(const uint16_t *p) { return f16_to_f32(load_u16(p)); }
LEVEL_INLINE f32v load_f16_first(const uint16_t *p, int n) {
  return f16_to_f32(load_u16_first(p, n));
}
LEVEL_INLINE void store_f16(uint16_t *p, f32v v) { store_u16(p, f16_from_f32(v)); }
LEVEL_INLINE void store_f16_first(uint16_t *p, f32v v, int n) {
  store_u16_first(p, f16_from_f32(v), n);
}

#endif
