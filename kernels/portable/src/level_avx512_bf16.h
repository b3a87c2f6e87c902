/* AVX-512 with BF16's dot product (and VNNI's). */
#ifndef PORTABLE_LEVEL_AVX512_BF16_H
#define PORTABLE_LEVEL_AVX512_BF16_H

#include "level_avx512.h"

/* The pair at `p` in every lane. */
LEVEL_INLINE u32v broadcast_bf16_pair(const void *p) {
  int pair;
  memcpy(&pair, p, sizeof pair);
  return (u32v)_mm512_set1_epi32(pair);
}

/* Each lane of `a` and `b` holds a pair of bfloat16, the first in the low half. */
#define LEVEL_DOT_BF16
LEVEL_INLINE f32v dot_bf16(f32v sum, u32v a, u32v b) {
  return (f32v)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

/* Each lane holds four values of 8 bits: unsigned in `a`, signed in `b`. */
#define LEVEL_DOT_I8 LEVEL_DOT_UNSIGNED_A
LEVEL_INLINE i32v dot_i8(i32v sum, u32v a, u32v b) {
  return (i32v)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
}

#endif
