/* AVX2, FMA and F16C: 8 floats a vector, 16 registers. */
#ifndef PORTABLE_LEVEL_AVX2_H
#define PORTABLE_LEVEL_AVX2_H

#include <immintrin.h>

#define LEVEL_VECTOR_BYTES 32
#define LEVEL_REGISTERS 16
#define LEVEL_TILE_ROWS 6
#define LEVEL_TILE_ROWS_CHUNKED 6
#define LEVEL_TILE_VECTORS 2
#define LEVEL_RATE 1e11
#define LEVEL_LINE_SECONDS 3e-9
#include "level_types.h"

#define LEVEL_HAS_SELECT
LEVEL_INLINE f32v select_f32(i32v mask, f32v a, f32v b) {
  return (f32v)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
}
LEVEL_INLINE f32v select_negative_f32(f32v x, f32v a, f32v b) { return select_f32((i32v)x, a, b); }
/* These instructions give their second operand where one is NaN. */
LEVEL_INLINE f32v max_f32(f32v a, f32v x) { return (f32v)_mm256_max_ps((__m256)a, (__m256)x); }
LEVEL_INLINE f32v min_f32(f32v a, f32v x) { return (f32v)_mm256_min_ps((__m256)a, (__m256)x); }

#define LEVEL_HAS_MAXIMUM
LEVEL_INLINE f32v maximum_f32(f32v a, f32v b) {
  return (f32v)_mm256_blendv_ps(_mm256_max_ps((__m256)a, (__m256)b), (__m256)a,
                                _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q));
}
LEVEL_INLINE f32v minimum_f32(f32v a, f32v b) {
  return (f32v)_mm256_blendv_ps(_mm256_min_ps((__m256)a, (__m256)b), (__m256)a,
                                _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q));
}

#define LEVEL_HAS_ROUND
LEVEL_INLINE f32v round_f32(f32v v) {
  return (f32v)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#define LEVEL_HAS_ROUND_TO_I32
LEVEL_INLINE i32v round_to_i32(f32v v) { return (i32v)_mm256_cvtps_epi32((__m256)v); }

#define LEVEL_HAS_BYTES
LEVEL_INLINE i32v load_u8_as_i32(const uint8_t *p) {
  return (i32v)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
LEVEL_INLINE i32v load_i8_as_i32(const int8_t *p) {
  return (i32v)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
LEVEL_INLINE void store_i32_as_u8(uint8_t *p, i32v v) {
  const __m256i lowest =
      _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1,
                       -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8((__m256i)v, lowest);
  const __m128i both =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64((__m128i *)p, both);
}

/* Two by four dwords are in their order again behind the last narrowing alone. */
#define LEVEL_HAS_NARROW
LEVEL_INLINE i16v narrow_i32(i32v a, i32v b) {
  return (i16v)_mm256_packs_epi32((__m256i)a, (__m256i)b);
}
LEVEL_INLINE i16v bound_i16(i16v v, i16v low, i16v high) {
  return (i16v)_mm256_min_epi16(_mm256_max_epi16((__m256i)v, (__m256i)low), (__m256i)high);
}
LEVEL_INLINE u8v lowest_bytes(i16v a, i16v b) {
  const __m256i lowest = _mm256_set1_epi16(0xff);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_packus_epi16(_mm256_and_si256((__m256i)a, lowest),
                                            _mm256_and_si256((__m256i)b, lowest));
  return (u8v)_mm256_permutevar8x32_epi32(bytes, order);
}
LEVEL_INLINE void store_u8_first(uint8_t *p, u8v v, int n) {
  uint8_t bytes[LEVEL_VECTOR_BYTES];
  _mm256_storeu_si256((__m256i *)bytes, (__m256i)v);
  memcpy(p, bytes, (size_t)n);
}

#define LEVEL_HAS_DOT_I16
LEVEL_INLINE i32v dot_i16(i32v sum, u32v a, u32v b) {
  return (i32v)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16((__m256i)a, (__m256i)b));
}

#define LEVEL_HAS_QUADS
LEVEL_INLINE f32v load_quads_f32(const float *p, int64_t stride) {
  const __m256 v = _mm256_castps128_ps256(_mm_loadu_ps(p));
  return (f32v)_mm256_insertf128_ps(v, _mm_loadu_ps(p + stride), 1);
}

#define LEVEL_HAS_FIRST_F32
LEVEL_INLINE __m256i level_mask_32(int n) { return (__m256i)((i32v){0, 1, 2, 3, 4, 5, 6, 7} < n); }
LEVEL_INLINE f32v load_f32_first(const float *p, int n) {
  return (f32v)_mm256_maskload_ps(p, level_mask_32(n));
}
LEVEL_INLINE void store_f32_first(float *p, f32v v, int n) {
  /* A masked store takes a dozen cycles on AMD's processors. */
  __m128 rest = _mm256_castps256_ps128((__m256)v);
  if (n >= F32_LANES) {
    store_f32(p, v);
    return;
  }
  if (n & 4) {
    _mm_storeu_ps(p, rest);
    rest = _mm256_extractf128_ps((__m256)v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi((__m64 *)p, rest);
    rest = _mm_movehl_ps(rest, rest);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, rest);
}

#define LEVEL_HAS_FIRST_F64
LEVEL_INLINE __m256i level_mask_64(int n) { return (__m256i)((i64v){0, 1, 2, 3} < n); }
LEVEL_INLINE f64v load_f64_first(const double *p, int n) {
  return (f64v)_mm256_maskload_pd(p, level_mask_64(n));
}
LEVEL_INLINE void store_f64_first(double *p, f64v v, int n) {
  __m128d rest = _mm256_castpd256_pd128((__m256d)v);
  if (n >= F64_LANES) {
    store_f64(p, v);
    return;
  }
  if (n & 2) {
    _mm_storeu_pd(p, rest);
    rest = _mm256_extractf128_pd((__m256d)v, 1);
    p += 2;
  }
  if (n & 1) _mm_store_sd(p, rest);
}

#define LEVEL_HAS_F16
LEVEL_INLINE f32v f16_to_f32(u16h v) { return (f32v)_mm256_cvtph_ps((__m128i)v); }
LEVEL_INLINE u16h f16_from_f32(f32v v) {
  return (u16h)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#include "level_generic.h"

#endif
