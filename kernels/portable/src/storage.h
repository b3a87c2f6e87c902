/* Elements as they lie in memory, and as vectors of the type that is computed in. */
#ifndef PORTABLE_STORAGE_H
#define PORTABLE_STORAGE_H

#include "kernel_pack.h"
#include "real.h"

typedef enum storage { STORED_F32, STORED_BF16, STORED_F16, STORED_F64 } storage;

static inline int storage_bytes(storage s) { return s == STORED_F64 ? 8 : s == STORED_F32 ? 4 : 2; }

static inline DLDataTypeCode storage_code(storage s) {
  return s == STORED_BF16 ? kDLBfloat : kDLFloat;
}

static inline int storage_is(storage s, const kp_tensor *t) {
  return kp_is_dtype(t, storage_code(s), storage_bytes(s) * 8);
}

/* `n` elements from element `index` on; the lanes past them are zero. */
LEVEL_INLINE realv load_stored(storage s, const void *base, int64_t index, int n) {
#if REAL_BITS == 64
  (void)s;
  const double *p = (const double *)base + index;
  return n == REAL_LANES ? load_f64(p) : load_f64_first(p, n);
#else
  if (s == STORED_F32) {
    const float *p = (const float *)base + index;
    return n == REAL_LANES ? load_f32(p) : load_f32_first(p, n);
  }
  const uint16_t *p = (const uint16_t *)base + index;
  if (s == STORED_BF16) return n == REAL_LANES ? load_bf16(p) : load_bf16_first(p, n);
  return n == REAL_LANES ? load_f16(p) : load_f16_first(p, n);
#endif
}

LEVEL_INLINE void store_stored(storage s, void *base, int64_t index, realv v, int n) {
#if REAL_BITS == 64
  (void)s;
  double *p = (double *)base + index;
  if (n == REAL_LANES)
    store_f64(p, v);
  else
    store_f64_first(p, v, n);
#else
  if (s == STORED_F32) {
    float *p = (float *)base + index;
    if (n == REAL_LANES)
      store_f32(p, v);
    else
      store_f32_first(p, v, n);
    return;
  }
  uint16_t *p = (uint16_t *)base + index;
  u16h bits = s == STORED_BF16 ? bf16_from_f32(v) : f16_from_f32(v);
  if (n == REAL_LANES)
    store_u16(p, bits);
  else
    store_u16_first(p, bits, n);
#endif
}

/* One element. */
LEVEL_INLINE real load_element(storage s, const void *base, int64_t index) {
#if REAL_BITS == 64
  (void)s;
  return ((const double *)base)[index];
#else
  if (s == STORED_F32) return ((const float *)base)[index];
  return load_stored(s, base, index, 1)[0];
#endif
}

#if REAL_BITS == 32
/* Pairs of bfloat16, each with the first in its low half, from two vectors of them as floats. */
LEVEL_INLINE f32v pair_bf16(f32v first, f32v second) {
  return (f32v)(((u32v)first >> 16) | (u32v)second);
}
#endif

/* Calls `what(storage, ...)` with the storage as a constant, so that it is specialised. */
#if REAL_BITS == 64
#define FOR_STORAGE(s, what, ...) ((void)(s), what(STORED_F64, __VA_ARGS__))
#else
#define FOR_STORAGE(s, what, ...)                        \
  ((s) == STORED_F32    ? what(STORED_F32, __VA_ARGS__)  \
   : (s) == STORED_BF16 ? what(STORED_BF16, __VA_ARGS__) \
                        : what(STORED_F16, __VA_ARGS__))
#endif

#endif
