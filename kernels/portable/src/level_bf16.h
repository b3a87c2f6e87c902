/* ... with Armv8.6's bfloat16. */
#ifndef PORTABLE_LEVEL_BF16_H
#define PORTABLE_LEVEL_BF16_H

#include "level_i8mm.h"

/* The pair at `p` in every lane. */
LEVEL_INLINE u32v broadcast_bf16_pair(const void *p) {
  return (u32v)vld1q_dup_u32((const uint32_t *)p);
}

/* Each lane of `a` and `b` holds a pair of bfloat16, the first in the low half. */
#define LEVEL_DOT_BF16
LEVEL_INLINE f32v dot_bf16(f32v sum, u32v a, u32v b) {
  return (f32v)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
}
LEVEL_INLINE f32v dot_bf16_lane(f32v sum, u32v a, int lane, u32v b) {
  switch (lane) {
#define LANE(i) \
  case i:       \
    return (f32v)vbfdotq_laneq_f32((float32x4_t)sum, (bfloat16x8_t)b, (bfloat16x8_t)a, i)
    LANE(0);
    LANE(1);
    LANE(2);
    LANE(3);
#undef LANE
    default:
      return sum;
  }
}

#endif
