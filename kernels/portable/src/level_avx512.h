/* AVX-512 F, BW, DQ and VL: 16 floats a vector, 32 registers, masks. */
#ifndef PORTABLE_LEVEL_AVX512_H
#define PORTABLE_LEVEL_AVX512_H

#include <immintrin.h>

#define LEVEL_VECTOR_BYTES 64
#define LEVEL_REGISTERS 32
#define LEVEL_TILE_ROWS 14
#define LEVEL_TILE_ROWS_CHUNKED 14
#define LEVEL_TILE_VECTORS 2
#define LEVEL_RATE 1e11
#define LEVEL_LINE_SECONDS 3e-9
#include "level_types.h"

#define LEVEL_HAS_SELECT
LEVEL_INLINE f32v select_f32(i32v mask, f32v a, f32v b) {
  return (f32v)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
}
LEVEL_INLINE f32v select_negative_f32(f32v x, f32v a, f32v b) { return select_f32((i32v)x, a, b); }
/* These instructions give their second operand where one is NaN. */
LEVEL_INLINE f32v max_f32(f32v a, f32v x) { return (f32v)_mm512_max_ps((__m512)a, (__m512)x); }
LEVEL_INLINE f32v min_f32(f32v a, f32v x) { return (f32v)_mm512_min_ps((__m512)a, (__m512)x); }

#define LEVEL_HAS_MAXIMUM
LEVEL_INLINE f32v maximum_f32(f32v a, f32v b) {
  return (f32v)_mm512_mask_mov_ps(_mm512_max_ps((__m512)a, (__m512)b),
                                  _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q),
                                  (__m512)a);
}
LEVEL_INLINE f32v minimum_f32(f32v a, f32v b) {
  return (f32v)_mm512_mask_mov_ps(_mm512_min_ps((__m512)a, (__m512)b),
                                  _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q),
                                  (__m512)a);
}

#define LEVEL_HAS_ROUND
LEVEL_INLINE f32v round_f32(f32v v) {
  return (f32v)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#define LEVEL_HAS_ROUND_TO_I32
LEVEL_INLINE i32v round_to_i32(f32v v) {
  return (i32v)_mm512_cvt_roundps_epi32((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#define LEVEL_HAS_SCALE
LEVEL_INLINE f32v scale_f32(f32v v, f32v shifted) {
  return (f32v)_mm512_scalef_ps((__m512)v, (__m512)(shifted - EXPONENT_SHIFT));
}

#define LEVEL_HAS_BYTES
LEVEL_INLINE i32v load_u8_as_i32(const uint8_t *p) {
  return (i32v)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
LEVEL_INLINE i32v load_i8_as_i32(const int8_t *p) {
  return (i32v)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}
LEVEL_INLINE void store_i32_as_u8(uint8_t *p, i32v v) {
  _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)v));
}

/* Four by four dwords are in their order again behind the last narrowing alone. */
#define LEVEL_HAS_NARROW
LEVEL_INLINE i16v narrow_i32(i32v a, i32v b) {
  return (i16v)_mm512_packs_epi32((__m512i)a, (__m512i)b);
}
LEVEL_INLINE i16v bound_i16(i16v v, i16v low, i16v high) {
  return (i16v)_mm512_min_epi16(_mm512_max_epi16((__m512i)v, (__m512i)low), (__m512i)high);
}
LEVEL_INLINE u8v lowest_bytes(i16v a, i16v b) {
  const __m512i lowest = _mm512_set1_epi16(0xff);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_packus_epi16(_mm512_and_si512((__m512i)a, lowest),
                                            _mm512_and_si512((__m512i)b, lowest));
  return (u8v)_mm512_permutexvar_epi32(order, bytes);
}
LEVEL_INLINE void store_u8_first(uint8_t *p, u8v v, int n) {
  _mm512_mask_storeu_epi8(p, ((__mmask64)1 << n) - 1, (__m512i)v);
}

#define LEVEL_HAS_DOT_I16
LEVEL_INLINE i32v dot_i16(i32v sum, u32v a, u32v b) {
  return (i32v)_mm512_add_epi32((__m512i)sum, _mm512_madd_epi16((__m512i)a, (__m512i)b));
}

#define LEVEL_HAS_QUADS
LEVEL_INLINE f32v load_quads_f32(const float *p, int64_t stride) {
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p + stride), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 2 * stride), 2);
  return (f32v)_mm512_insertf32x4(v, _mm_loadu_ps(p + 3 * stride), 3);
}

#define LEVEL_HAS_FIRST_F32
LEVEL_INLINE __mmask16 level_mask_16(int n) { return (__mmask16)((1u << n) - 1); }
LEVEL_INLINE f32v load_f32_first(const float *p, int n) {
  return (f32v)_mm512_maskz_loadu_ps(level_mask_16(n), p);
}
LEVEL_INLINE void store_f32_first(float *p, f32v v, int n) {
  _mm512_mask_storeu_ps(p, level_mask_16(n), (__m512)v);
}

#define LEVEL_HAS_FIRST_BYTES
LEVEL_INLINE void store_i32_as_u8_first(uint8_t *p, i32v v, int n) {
  _mm512_mask_cvtepi32_storeu_epi8(p, level_mask_16(n), (__m512i)v);
}

#define LEVEL_HAS_FIRST_F64
LEVEL_INLINE f64v load_f64_first(const double *p, int n) {
  return (f64v)_mm512_maskz_loadu_pd((__mmask8)level_mask_16(n), p);
}
LEVEL_INLINE void store_f64_first(double *p, f64v v, int n) {
  _mm512_mask_storeu_pd(p, (__mmask8)level_mask_16(n), (__m512d)v);
}

#define LEVEL_HAS_FIRST_U16
LEVEL_INLINE u16h load_u16_first(const uint16_t *p, int n) {
  return (u16h)_mm256_maskz_loadu_epi16(level_mask_16(n), p);
}
LEVEL_INLINE void store_u16_first(uint16_t *p, u16h v, int n) {
  _mm256_mask_storeu_epi16(p, level_mask_16(n), (__m256i)v);
}

#define LEVEL_HAS_F16
LEVEL_INLINE f32v f16_to_f32(u16h v) { return (f32v)_mm512_cvtph_ps((__m256i)v); }
LEVEL_INLINE u16h f16_from_f32(f32v v) {
  return (u16h)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#include "level_generic.h"

#endif
