/*
 * Products of integers, by lanes of 32 bits: the best that the level has.
 *
 * A lane holds DOT_VALUES values of k: four of 8 bits where LEVEL_DOT_I8 is defined, else two of
 * 16 bits. The second operand's are signed; the first's have the sign that DOT_A_SIGNED says.
 * Values of 8 bits are brought to these signs by turning their highest bit, which moves them and
 * their zero point by 128; their products are corrected by the zero points later. Values of
 * 16 bits have their zero point subtracted at once.
 *
 *   dot(sum, a, b)                 i32v: sum + the lanes' products, modulo 2^32
 *   dot_row                        DOT_ROW_LANES lanes of one row of `a`
 *   load_dot_row(p, n, flip)       the first n of them, 1, 2 or all; `p` is a dot_value *
 *   dot_by_lane(sum, row, i, b)    as dot, with lane `i` of the row in every lane
 *   dot_b_place(lane, value)       where a lane's value lies in a vector, in values
 */
#ifndef PORTABLE_DOT_H
#define PORTABLE_DOT_H

#define LEVEL_DOT_SIGNED_A 1
#define LEVEL_DOT_UNSIGNED_A 2

#include "level.h"

#ifdef LEVEL_DOT_I8
#define DOT_VALUES 4
#define DOT_A_SIGNED (LEVEL_DOT_I8 == LEVEL_DOT_SIGNED_A)
typedef uint8_t dot_value;
#define dot dot_i8
#ifdef LEVEL_DOT_I8_ROW_LANES
#define DOT_ROW_LANES LEVEL_DOT_I8_ROW_LANES
#define DOT_FLIPS_ROWS
#define dot_by_lane dot_i8_lane
#endif
#else
#define DOT_VALUES 2
#define DOT_A_SIGNED 0
typedef int16_t dot_value;
#ifndef LEVEL_HAS_DOT_I16
LEVEL_INLINE i32v dot_i16(i32v sum, u32v a, u32v b) {
  const i32v first = ((i32v)(a << 16) >> 16) * ((i32v)(b << 16) >> 16);
  const i32v second = ((i32v)a >> 16) * ((i32v)b >> 16);
  return (i32v)((u32v)sum + (u32v)first + (u32v)second);
}
#endif
#define dot dot_i16
#ifdef LEVEL_DOT_I16_ROW_LANES
#define DOT_ROW_LANES LEVEL_DOT_I16_ROW_LANES
#define dot_by_lane dot_i16_lane
#endif
#endif

LEVEL_INLINE u32v load_u32(const void *p) { return *(const u32v_unaligned *)p; }
LEVEL_INLINE void store_u32(void *p, u32v v) { *(u32v_unaligned *)p = v; }

/* One lane in all lanes. */
LEVEL_INLINE u32v load_lane(const void *p) {
  uint32_t lane;
  memcpy(&lane, p, sizeof lane);
  return lane - (u32v){0};
}

typedef u32v dot_row;
#ifdef DOT_ROW_LANES
LEVEL_INLINE u32v load_two_lanes(const void *p) {
  uint64_t lanes;
  memcpy(&lanes, p, sizeof lanes);
  return (u32v)(i64v){(int64_t)lanes};
}
LEVEL_INLINE dot_row load_dot_row(const dot_value *p, int n, u32v flip) {
  const dot_row row = n == 1 ? load_lane(p) : n == 2 ? load_two_lanes(p) : load_u32(p);
#ifdef DOT_FLIPS_ROWS
  return row ^ flip;
#else
  (void)flip;
  return row;
#endif
}
#else
#define DOT_ROW_LANES 1
LEVEL_INLINE dot_row load_dot_row(const dot_value *p, int n, u32v flip) {
  (void)n, (void)flip;
  return load_lane(p);
}
LEVEL_INLINE i32v dot_by_lane(i32v sum, dot_row a, int i, u32v b) {
  (void)i;
  return dot(sum, a, b);
}
#endif

static inline int dot_b_place(int lane, int value) {
#if DOT_VALUES == 2 && defined(LEVEL_DOT_I16_HALVES)
  return value * F32_LANES + lane;
#else
  return lane * DOT_VALUES + value;
#endif
}

/* ---- Values ------------------------------------------------------------------------- */

/* How stored values of one operand become dot_values. */
typedef struct dot_source {
  uint8_t flip; /* what a stored byte is xored with */
  int32_t zero; /* of the bytes after that */
} dot_source;

static inline dot_source dot_source_of(int is_signed, int wants_signed, int32_t zero) {
  const int flips = is_signed != wants_signed;
  return (dot_source){flips ? 0x80 : 0, flips ? zero + (wants_signed ? -128 : 128) : zero};
}

/* Of the first operand, and of the second. With 16 bits, bytes are read as unsigned. */
static inline dot_source dot_source_a(int is_signed, int32_t zero) {
  return dot_source_of(is_signed, DOT_A_SIGNED, zero);
}
static inline dot_source dot_source_b(int is_signed, int32_t zero) {
  return dot_source_of(is_signed, DOT_VALUES == 4, zero);
}

LEVEL_INLINE dot_value dot_value_of(uint8_t stored, dot_source s) {
#if DOT_VALUES == 4
  return stored ^ s.flip;
#else
  return (int16_t)((stored ^ s.flip) - s.zero);
#endif
}

/* What stands for the real number 0. */
static inline dot_value dot_zero(dot_source s) { return DOT_VALUES == 4 ? (dot_value)s.zero : 0; }
/* In all values of all lanes. */
LEVEL_INLINE u32v dot_zeros(dot_source s) {
  return (uint32_t)(0x01010101u * (uint8_t)dot_zero(s)) - (u32v){0};
}

static inline void dot_copy(dot_value *restrict to, const uint8_t *restrict from, int64_t count,
                            dot_source s) {
  if (DOT_VALUES == 4 && !s.flip)
    memcpy(to, from, (size_t)count);
  else
    for (int64_t i = 0; i < count; i++) to[i] = dot_value_of(from[i], s);
}

/* The lanes of DOT_GATHERED vectors of channels from DOT_VALUES rows, each of stored bytes one
 * behind the other, of which the first `count` are there. */
#ifdef LEVEL_HAS_GATHER
enum { DOT_GATHERED = 4 };
LEVEL_INLINE void dot_gather(const uint8_t *const *rows, int count, dot_source s, u32v *to) {
  u8v bytes[DOT_VALUES];
  _Pragma("GCC unroll 4") for (int i = 0; i < DOT_VALUES; i++) {
    const int all = count >= LEVEL_VECTOR_BYTES;
    bytes[i] = (all ? load_u8(rows[i]) : load_u8_first(rows[i], count)) ^ s.flip;
  }
#if DOT_VALUES == 4
  gather_i8(bytes, to);
#else
  gather_i16(bytes, (uint8_t)s.zero - (u8v){0}, to);
#endif
}
#else
enum { DOT_GATHERED = 1 };
LEVEL_INLINE void dot_gather(const uint8_t *const *rows, int count, dot_source s, u32v *to) {
  i32v values[DOT_VALUES];
  _Pragma("GCC unroll 4") for (int i = 0; i < DOT_VALUES; i++) {
    uint8_t first[F32_LANES] = {0};
    const int all = count >= (int)F32_LANES;
    values[i] = load_u8_as_i32(all ? rows[i] : memcpy(first, rows[i], (size_t)count)) ^ s.flip;
    if (DOT_VALUES == 2) values[i] -= s.zero;
  }
#if DOT_VALUES == 4
  const u32v low = ((u32v)values[0] & 0xff) | ((u32v)values[1] & 0xff) << 8;
  *to = low | ((u32v)values[2] & 0xff) << 16 | (u32v)values[3] << 24;
#else
  *to = ((u32v)values[0] & 0xffff) | (u32v)values[1] << 16;
#endif
}
#endif

/* What load_dot_row flips of the first operand's rows, and what is left to do when they are packed.
 */
#ifdef DOT_FLIPS_ROWS
static inline uint8_t dot_row_flip(dot_source s) { return s.flip; }
static inline dot_source dot_row_source(dot_source s) {
  return (dot_source){0, (uint8_t)s.zero ^ s.flip};
}
#else
static inline uint8_t dot_row_flip(dot_source s) { return (void)s, 0; }
static inline dot_source dot_row_source(dot_source s) { return s; }
#endif

enum { DOT_CHUNK = 16 };

/* As dot_copy, by whole chunks: reads and writes up to DOT_CHUNK - 1 values past the last. */
LEVEL_INLINE void dot_copy_chunks(dot_value *restrict to, const uint8_t *restrict from,
                                  int64_t count, dot_source s) {
  for (int64_t i = 0; i < count; i += DOT_CHUNK) {
    dot_value chunk[DOT_CHUNK];
    for (int j = 0; j < DOT_CHUNK; j++) chunk[j] = dot_value_of(from[i + j], s);
    memcpy(to + i, chunk, sizeof chunk);
  }
}

static inline void dot_fill(dot_value *to, dot_value value, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = value;
}

#endif
