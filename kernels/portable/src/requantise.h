/* From sums to stored bytes. */
#ifndef PORTABLE_REQUANTISE_H
#define PORTABLE_REQUANTISE_H

#include "level.h"
#include "quantization.h"

typedef struct requantisation {
  f32v low, high; /* of the results without their zero point */
  int32_t zero;
#ifdef LEVEL_HAS_NARROW
  i16v narrow_low, narrow_high;
  u8v narrow_zero;
#endif
} requantisation;

LEVEL_INLINE requantisation make_requantisation(quantized_range range, int32_t zero) {
  const int32_t low = range.low - zero, high = range.high - zero;
  return (requantisation){
      broadcast_f32((float)low), broadcast_f32((float)high), zero,
#ifdef LEVEL_HAS_NARROW
      (int16_t)low - (i16v){0},  (int16_t)high - (i16v){0},  (uint8_t)zero - (u8v){0},
#endif
  };
}

/* A real result as it is stored. What is bounded before it is rounded to an integer would be
 * bounded to the same after. */
LEVEL_INLINE i32v stored_of(f32v real, const requantisation *r) {
  return round_to_i32(min_f32(r->high, max_f32(r->low, real))) + r->zero;
}

LEVEL_INLINE i32v requantise(i32v sum, f32v multiplier, const requantisation *r) {
  return stored_of(__builtin_convertvector(sum, f32v) * multiplier, r);
}

/* The first `count` lanes as bytes; all where there are more. */
LEVEL_INLINE void store_bytes(uint8_t *to, i32v v, int64_t count) {
  if (count >= F32_LANES) {
    store_i32_as_u8(to, v);
    return;
  }
  store_i32_as_u8_first(to, v, (int)count);
}

/* ---- Up to four vectors together: their bytes fill one ------------------------------------ */

#ifdef LEVEL_HAS_NARROW
/* Rounded, saturated to an int32. */
LEVEL_INLINE i32v round_saturated(f32v v) {
#ifndef LEVEL_ROUND_SATURATES
  v = min_f32(broadcast_f32(2147483520.0f), v); /* what is too small becomes the smallest anyway */
#endif
  return round_to_i32(v);
}

/* Bounded behind the narrowing, which saturates: by fewer instructions. The bytes of vectors
 * behind the last are undefined. */
LEVEL_INLINE u8v narrow_reals(int vectors, const f32v *real, const requantisation *r) {
  i32v rounded[4];
  _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) rounded[i] =
      i < vectors ? round_saturated(real[i]) : rounded[0];
  const i16v first = bound_i16(narrow_i32(rounded[0], rounded[1]), r->narrow_low, r->narrow_high);
  if (vectors <= 2) return lowest_bytes(first, first) + r->narrow_zero;
  const i16v second = bound_i16(narrow_i32(rounded[2], rounded[3]), r->narrow_low, r->narrow_high);
  return lowest_bytes(first, second) + r->narrow_zero;
}
#endif

/* Real results, `vectors` of them that follow one another: stores the first `count`, or all. */
LEVEL_INLINE void store_reals(int vectors, const f32v *real, const requantisation *r, uint8_t *to,
                              int64_t count) {
#ifdef LEVEL_HAS_NARROW
  const u8v bytes = narrow_reals(vectors, real, r);
  const int all = vectors * (int)F32_LANES;
  if (count < all)
    store_u8_first(to, bytes, (int)count);
  else if (all == LEVEL_VECTOR_BYTES)
    store_u8(to, bytes);
  else
    store_u8_first(to, bytes, all);
#else
  _Pragma("GCC unroll 4") for (int i = 0; i < vectors; i++)
      store_bytes(to + i * (int)F32_LANES, stored_of(real[i], r), count - i * (int)F32_LANES);
#endif
}

/* The same of sums. */
LEVEL_INLINE void requantise_row(int vectors, const i32v *sum, const f32v *multipliers,
                                 const requantisation *r, uint8_t *to, int64_t count) {
  f32v real[4];
  _Pragma("GCC unroll 4") for (int i = 0; i < vectors; i++) real[i] =
      __builtin_convertvector(sum[i], f32v) * multipliers[i];
  store_reals(vectors, real, r, to, count);
}

#endif
