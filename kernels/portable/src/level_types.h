/* Vector types of LEVEL_VECTOR_BYTES, and what the compiler's vector extensions give alike on
 * every processor. Included by the levels' headers. */
#ifndef PORTABLE_LEVEL_TYPES_H
#define PORTABLE_LEVEL_TYPES_H

#include <stdint.h>
#include <string.h>

#define F32_LANES (LEVEL_VECTOR_BYTES / 4)
#define F64_LANES (LEVEL_VECTOR_BYTES / 8)

#define LEVEL_VECTOR(name, element, bytes)                                                     \
  typedef element name __attribute__((vector_size(bytes)));                                    \
  typedef element name##_unaligned                                                             \
      __attribute__((vector_size(bytes), aligned(sizeof(element)), may_alias))
LEVEL_VECTOR(f32v, float, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(f64v, double, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(i32v, int32_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(u32v, uint32_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(i64v, int64_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(u16h, uint16_t, LEVEL_VECTOR_BYTES / 2); /* F32_LANES elements of 16 bits */
#undef LEVEL_VECTOR

#define LEVEL_INLINE static inline __attribute__((always_inline, unused))

LEVEL_INLINE f32v load_f32(const float *p) { return *(const f32v_unaligned *)p; }
LEVEL_INLINE void store_f32(float *p, f32v v) { *(f32v_unaligned *)p = v; }
LEVEL_INLINE f64v load_f64(const double *p) { return *(const f64v_unaligned *)p; }
LEVEL_INLINE void store_f64(double *p, f64v v) { *(f64v_unaligned *)p = v; }
LEVEL_INLINE u16h load_u16(const uint16_t *p) { return *(const u16h_unaligned *)p; }
LEVEL_INLINE void store_u16(uint16_t *p, u16h v) { *(u16h_unaligned *)p = v; }

LEVEL_INLINE f32v broadcast_f32(float x) { return x - (f32v){0}; }
LEVEL_INLINE f64v broadcast_f64(double x) { return x - (f64v){0}; }

/* Contracted to one instruction where the processor has it (-ffp-contract=fast). */
LEVEL_INLINE f32v fma_f32(f32v a, f32v b, f32v c) { return a * b + c; }
LEVEL_INLINE f64v fma_f64(f64v a, f64v b, f64v c) { return a * b + c; }

LEVEL_INLINE f32v bf16_to_f32(u16h v) {
  return (f32v)(__builtin_convertvector(v, u32v) << 16);
}

#endif
