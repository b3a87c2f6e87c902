/* Vector types of LEVEL_VECTOR_BYTES, and what the compiler's vector extensions give alike on
 * every processor. Included by the levels' headers. */
#ifndef PORTABLE_LEVEL_TYPES_H
#define PORTABLE_LEVEL_TYPES_H

#include <stdint.h>
#include <string.h>

#define F32_LANES (LEVEL_VECTOR_BYTES / 4)
#define F64_LANES (LEVEL_VECTOR_BYTES / 8)

#define LEVEL_VECTOR(name, element, bytes)                  \
  typedef element name __attribute__((vector_size(bytes))); \
  typedef element name##_unaligned                          \
      __attribute__((vector_size(bytes), aligned(sizeof(element)), may_alias))
LEVEL_VECTOR(f32v, float, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(f64v, double, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(i32v, int32_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(u32v, uint32_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(i64v, int64_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(i16v, int16_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(u8v, uint8_t, LEVEL_VECTOR_BYTES);
LEVEL_VECTOR(u16h, uint16_t, LEVEL_VECTOR_BYTES / 2); /* F32_LANES elements of 16 bits */
#undef LEVEL_VECTOR

#define LEVEL_INLINE static inline __attribute__((always_inline, unused))

/* No load moves across: hoisted ones would take the registers of sums. */
#define LEVEL_KEEP_LOADS __asm__ volatile("" ::: "memory")

LEVEL_INLINE f32v load_f32(const float *p) { return *(const f32v_unaligned *)p; }
LEVEL_INLINE void store_f32(float *p, f32v v) { *(f32v_unaligned *)p = v; }
LEVEL_INLINE f64v load_f64(const double *p) { return *(const f64v_unaligned *)p; }
LEVEL_INLINE void store_f64(double *p, f64v v) { *(f64v_unaligned *)p = v; }
LEVEL_INLINE u16h load_u16(const uint16_t *p) { return *(const u16h_unaligned *)p; }
LEVEL_INLINE void store_u16(uint16_t *p, u16h v) { *(u16h_unaligned *)p = v; }

LEVEL_INLINE u8v load_u8(const uint8_t *p) { return *(const u8v_unaligned *)p; }
LEVEL_INLINE void store_u8(uint8_t *p, u8v v) { *(u8v_unaligned *)p = v; }

LEVEL_INLINE f32v broadcast_f32(float x) { return x - (f32v){0}; }
LEVEL_INLINE f64v broadcast_f64(double x) { return x - (f64v){0}; }

LEVEL_INLINE i32v load_i32(const int32_t *p) { return *(const i32v_unaligned *)p; }
LEVEL_INLINE void store_i32(int32_t *p, i32v v) { *(i32v_unaligned *)p = v; }

/* Contracted to one instruction where the processor has it (-ffp-contract=fast). */
LEVEL_INLINE f32v fma_f32(f32v a, f32v b, f32v c) { return a * b + c; }
LEVEL_INLINE f64v fma_f64(f64v a, f64v b, f64v c) { return a * b + c; }

/* A product as it is rounded: not fused with a sum that takes it. */
LEVEL_INLINE f32v rounded_f32(f32v v) {
#if defined(__x86_64__)
  __asm__("" : "+x"(v));
#elif defined(__aarch64__)
  __asm__("" : "+w"(v));
#else
  __asm__("" : "+m"(v));
#endif
  return v;
}

/* A whole number n, at most 2^21 from 0, plus this has n + 254 in its lowest bits: what scale_f32
 * takes. */
#define EXPONENT_SHIFT (0x1.8p23f + 2 * 127)

/* NaN where x is NaN; `a` must not be. */
LEVEL_INLINE f64v max_f64(f64v a, f64v x) {
  const i64v mask = a > x;
  return (f64v)(((i64v)a & mask) | ((i64v)x & ~mask));
}
LEVEL_INLINE f64v min_f64(f64v a, f64v x) {
  const i64v mask = a < x;
  return (f64v)(((i64v)a & mask) | ((i64v)x & ~mask));
}

/* The lanes' numbers. */
#if F32_LANES == 16
#define F32_IOTA ((i32v){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#define F64_IOTA ((i64v){0, 1, 2, 3, 4, 5, 6, 7})
#elif F32_LANES == 8
#define F32_IOTA ((i32v){0, 1, 2, 3, 4, 5, 6, 7})
#define F64_IOTA ((i64v){0, 1, 2, 3})
#else
#define F32_IOTA ((i32v){0, 1, 2, 3})
#define F64_IOTA ((i64v){0, 1})
#endif

/* Transposes as many vectors as they have lanes: at each step, pairs of rows `size` apart exchange
 * the blocks off their diagonal. Each step is written out, so that the rows stay in registers. */
#define LEVEL_TRANSPOSE_STEP(vector, mask, lanes, iota, rows, size)     \
  _Pragma("GCC unroll 8") for (int i = 0; i < (lanes) / 2; i++) {       \
    const mask upper = ((iota) & (size)) != 0;                          \
    const mask from_a = (iota) + (upper & ((lanes) - (size)));          \
    const mask from_b = (iota) + (~upper & (size)) + (upper & (lanes)); \
    const int row = i / (size) * 2 * (size) + i % (size);               \
    vector a = (rows)[row], b = (rows)[row + (size)];                   \
    (rows)[row] = __builtin_shuffle(a, b, from_a);                      \
    (rows)[row + (size)] = __builtin_shuffle(a, b, from_b);             \
  }
LEVEL_INLINE void transpose_f32(f32v rows[F32_LANES]){
    LEVEL_TRANSPOSE_STEP(f32v, i32v, F32_LANES, F32_IOTA, rows, 1)
        LEVEL_TRANSPOSE_STEP(f32v, i32v, F32_LANES, F32_IOTA, rows, 2)
#if F32_LANES > 4
            LEVEL_TRANSPOSE_STEP(f32v, i32v, F32_LANES, F32_IOTA, rows, 4)
#endif
#if F32_LANES > 8
                LEVEL_TRANSPOSE_STEP(f32v, i32v, F32_LANES, F32_IOTA, rows, 8)
#endif
} LEVEL_INLINE void transpose_f64(f64v rows[F64_LANES]){
    LEVEL_TRANSPOSE_STEP(f64v, i64v, F64_LANES, F64_IOTA, rows, 1)
#if F64_LANES > 2
        LEVEL_TRANSPOSE_STEP(f64v, i64v, F64_LANES, F64_IOTA, rows, 2)
#endif
#if F64_LANES > 4
            LEVEL_TRANSPOSE_STEP(f64v, i64v, F64_LANES, F64_IOTA, rows, 4)
#endif
}

/* Transposes each four lanes of four vectors. */
LEVEL_INLINE void transpose_quads_f32(f32v v[4]) {
  const i32v place = F32_IOTA & 3, quad = F32_IOTA & ~3, second = F32_LANES * (place & 1);
  const i32v low = quad + place / 2 + second, high = low + 2;
  const i32v pairs = quad + (place & 1) + (place / 2) * F32_LANES, last = pairs + 2;
  const f32v a = __builtin_shuffle(v[0], v[1], low), b = __builtin_shuffle(v[0], v[1], high);
  const f32v c = __builtin_shuffle(v[2], v[3], low), d = __builtin_shuffle(v[2], v[3], high);
  v[0] = __builtin_shuffle(a, c, pairs), v[1] = __builtin_shuffle(a, c, last);
  v[2] = __builtin_shuffle(b, d, pairs), v[3] = __builtin_shuffle(b, d, last);
}

/* Elements 0, 2, 4 ... of a followed by b. */
LEVEL_INLINE f32v even_f32(f32v a, f32v b) { return __builtin_shuffle(a, b, F32_IOTA * 2); }
/* Elements 1, 3, 5 ... of a followed by b. */
LEVEL_INLINE f32v odd_f32(f32v a, f32v b) { return __builtin_shuffle(a, b, F32_IOTA * 2 + 1); }
/* Each element of v n places further up or down; zeros come in. */
LEVEL_INLINE f32v shift_up_f32(f32v v, int n) {
  return __builtin_shuffle((f32v){0}, v, F32_IOTA + (F32_LANES - n));
}
LEVEL_INLINE f32v shift_down_f32(f32v v, int n) {
  return __builtin_shuffle(v, (f32v){0}, F32_IOTA + n);
}
LEVEL_INLINE f64v even_f64(f64v a, f64v b) { return __builtin_shuffle(a, b, F64_IOTA * 2); }

LEVEL_INLINE f32v bf16_to_f32(u16h v) { return (f32v)(__builtin_convertvector(v, u32v) << 16); }

#endif
