/* Advanced SIMD with Armv8.2's dot products of 8-bit integers (SDOT, UDOT). */
#ifndef PORTABLE_LEVEL_DOTPROD_H
#define PORTABLE_LEVEL_DOTPROD_H

#include "level_neon.h"

/* Each lane holds four signed values of 8 bits. */
#define LEVEL_DOT_I8 LEVEL_DOT_SIGNED_A
LEVEL_INLINE i32v dot_i8(i32v sum, u32v a, u32v b) {
  return (i32v)vdotq_s32((int32x4_t)sum, (int8x16_t)b, (int8x16_t)a);
}

/* Four lanes of `a` at once, of which lane `i` counts. */
#define LEVEL_DOT_I8_ROW_LANES 4
LEVEL_INLINE i32v dot_i8_lane(i32v sum, u32v a, int i, u32v b) {
  const int32x4_t s = (int32x4_t)sum;
  const int8x16_t x = (int8x16_t)a, y = (int8x16_t)b;
  switch (i) {
    case 0:
      return (i32v)vdotq_laneq_s32(s, y, x, 0);
    case 1:
      return (i32v)vdotq_laneq_s32(s, y, x, 1);
    case 2:
      return (i32v)vdotq_laneq_s32(s, y, x, 2);
    default:
      return (i32v)vdotq_laneq_s32(s, y, x, 3);
  }
}

#endif
