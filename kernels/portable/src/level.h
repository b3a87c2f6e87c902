/*
 * The vocabulary of a level. A leveled source includes this header and no other thing that
 * depends on the processor. LEVEL is set by the build (generic, avx2, ...), and so is LEVEL_BASE.
 *
 *   F32_LANES, F64_LANES           elements of a vector
 *   LEVEL_REGISTERS                vectors that the processor holds
 *   LEVEL_TILE_ROWS, _VECTORS      the tile of a product (micro.h) whose sums, with what is loaded
 *   LEVEL_TILE_ROWS_CHUNKED        of the operands at a time, fill them
 *   LEVEL_LANE_PRODUCTS            defined where a product may take one operand from a lane: the
 *                                  rows' operand is loaded by vectors then
 *   LEVEL_RATE                     operations a second of one thread in a product of floats, and
 *   LEVEL_LINE_SECONDS             what it takes to move 16 floats: what costs are reckoned by
 *   f32v f64v i32v u32v i64v       vectors (GNU vector extensions: + - * / < & | ...)
 *   load_f32(p)   store_f32(p, v)  any address that is aligned to the element
 *   load_f32_first(p, n)           the first n lanes, 0 <= n <= F32_LANES; the others are zero
 *   store_f32_first(p, v, n)
 *   load_pairs_f32(p, even, odd)   elements 0, 2, 4 ... and 1, 3, 5 ... of two vectors from p on
 *   load_quads_f32(p, stride)      four floats each from p, p + stride, p + 2 * stride ...
 *   load_bf16, load_f16 ...        likewise: F32_LANES elements of 16 bits (uint16_t), as f32v
 *   load_i32, store_i32            F32_LANES elements, as i32v
 *   load_u8_as_i32, load_i8_as_i32 likewise, of bytes
 *   load_u8, store_u8              LEVEL_VECTOR_BYTES bytes, as u8v
 *   store_i32_as_u8(p, v)          the lowest 8 bits of each lane; likewise _first(p, v, n)
 *   narrow_i32(a, b)               both vectors' lanes, saturated to 16 bits, as i16v; where
 *   bound_i16(v, low, high)        LEVEL_HAS_NARROW is defined, as the next three: bounded;
 *   lowest_bytes(a, b)             the lowest bytes of two vectors' lanes;
 *   load_u8_first, store_u8_first  the first n bytes, n < LEVEL_VECTOR_BYTES
 *   broadcast_f32(x)
 *   fma_f32(a, b, c)               a * b + c
 *   max_f32(a, x), min_f32(a, x)   NaN where x is NaN; a must not be; likewise _f64
 *   maximum_f32(a, b), minimum_... NaN where either is; what was loaded comes first where the
 *                                  other has to be waited for
 *   select_f32(mask, a, b)         mask ? a : b, by lane; mask is what f32v < f32v gives
 *   select_negative_f32(x, a, b)   x's sign bit ? a : b
 *   scale_f32(v, n)                v * 2^m where n is m + EXPONENT_SHIFT: 0, subnormal or infinite
 *                                  where that is too small or too large
 *   round_f32(v)                   to the nearest integer, ties to even
 *   round_to_i32(v)                likewise, of what an int32 holds
 *   dot_bf16(sum, a, b)            sum + a0 * b0 + a1 * b1, where LEVEL_DOT_BF16 is defined
 *   dot_bf16_lane(sum, a, i, b)    with lane i of a in all lanes, where LEVEL_LANE_PRODUCTS is too
 *
 * Products of integers have a header of their own, dot.h.
 */
#ifndef PORTABLE_LEVEL_H
#define PORTABLE_LEVEL_H

#define LEVEL_STRING_(x) #x
#define LEVEL_STRING(x) LEVEL_STRING_(x)
#define LEVEL_FILE_(level) level_##level.h
#define LEVEL_FILE(level) LEVEL_FILE_(level)
#define LEVEL_PASTE_(name, level) name##_##level
#define LEVEL_PASTE(name, level) LEVEL_PASTE_(name, level)

/* The level that this one takes the rest from: see levels.inc. */
#ifndef LEVEL_BASE
#define LEVEL_BASE LEVEL
#endif

/* `name` of this level, and of its base: matmul_bf16_kernels_avx512_bf16, gemm_run_f32_avx512. */
#define LEVEL_NAME(name) LEVEL_PASTE(name, LEVEL)
#define BASE_NAME(name) LEVEL_PASTE(name, LEVEL_BASE)

#include LEVEL_STRING(LEVEL_FILE(LEVEL))

#endif
