/* AVX-512 with BF16's dot product (and VNNI's). */
#ifndef PORTABLE_LEVEL_AVX512_BF16_H
#define PORTABLE_LEVEL_AVX512_BF16_H

#include "level_avx512.h"

/* Each lane of `a` and `b` holds a pair of bfloat16, the first in the low half. */
#define LEVEL_DOT_BF16
LEVEL_INLINE f32v dot_bf16(f32v sum, u32v a, u32v b) {
  return (f32v)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

#endif
