/* ... with Armv8.6's products of 8-bit integer matrices (SMMLA, UMMLA, USMMLA, USDOT). */
#ifndef PORTABLE_LEVEL_I8MM_H
#define PORTABLE_LEVEL_I8MM_H

#include "level_fp16.h"

/* Two rows of eight values by two columns of eight: [row 0, row 0, row 1, row 1]. */
#define LEVEL_MATRIX_I8
LEVEL_INLINE i32v matrix_i8(i32v sum, u32v a, u32v b) {
  return (i32v)vmmlaq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)b);
}
/* Eight bytes of each of two rows. */
LEVEL_INLINE u32v load_pair_i8(const void *first, const void *second) {
  return (u32v)vcombine_u8(vld1_u8(first), vld1_u8(second));
}
/* The sums of row 0, or of row 1, of two columns and the next two. */
LEVEL_INLINE i32v matrix_row(i32v sum, i32v next, int row) {
  const int64x2_t a = (int64x2_t)sum, b = (int64x2_t)next;
  return (i32v)(row ? vzip2q_s64(a, b) : vzip1q_s64(a, b));
}

#endif
