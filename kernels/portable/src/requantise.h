/* From sums to stored bytes. */
#ifndef PORTABLE_REQUANTISE_H
#define PORTABLE_REQUANTISE_H

#include "level.h"
#include "quantization.h"

typedef struct requantisation {
  f32v low, high; /* of the results without their zero point */
  int32_t zero;
} requantisation;

LEVEL_INLINE requantisation make_requantisation(quantized_range range, int32_t zero) {
  return (requantisation){broadcast_f32((float)(range.low - zero)),
                          broadcast_f32((float)(range.high - zero)), zero};
}

/* What is bounded before it is rounded to an integer would be bounded to the same after. */
LEVEL_INLINE i32v requantise(i32v sum, f32v multiplier, const requantisation *r) {
  const f32v real = __builtin_convertvector(sum, f32v) * multiplier;
  return round_to_i32(min_f32(r->high, max_f32(r->low, real))) + r->zero;
}

/* The first `count` lanes as bytes; all where there are more. */
LEVEL_INLINE void store_bytes(uint8_t *to, i32v v, int64_t count) {
  if (count >= F32_LANES) {
    store_i32_as_u8(to, v);
    return;
  }
  store_i32_as_u8_first(to, v, (int)count);
}

#endif
