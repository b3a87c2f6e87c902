/*
 * The type that a source computes in. A source that serves float and double is written in terms
 * of `real` and compiled twice: as it is, and included by a source that sets REAL_BITS to 64.
 *
 * One that multiplies bfloat16 as it is, where the level can, is included by a source that sets
 * REAL_PAIRS: an element of the operands is then a pair of them, for two consecutive values of k,
 * and k counts pairs. The sums are floats.
 *
 *   REAL_NAME(name)        of the source's own type and level
 *   REAL_BASE_NAME(name)   of the type that it computes in, at the level's base
 *   REAL_KERNELS(name)     of its list
 */
#ifndef PORTABLE_REAL_H
#define PORTABLE_REAL_H

#include "level.h"

#ifndef REAL_BITS
#define REAL_BITS 32
#endif
#ifndef REAL_PAIRS
#define REAL_PAIRS 0
#endif

#if REAL_BITS == 64
typedef double real;
typedef f64v realv;
#define REAL_LANES F64_LANES
#define REAL_BASE_NAME(name) BASE_NAME(name##_f64)
#define load_real load_f64
#define load_real_first load_f64_first
#define store_real store_f64
#define store_real_first store_f64_first
#define broadcast_real broadcast_f64
#define fma_real fma_f64
#define transpose_real transpose_f64
#define even_real even_f64
#define max_real max_f64
#define min_real min_f64
#else
typedef float real;
typedef f32v realv;
#define REAL_LANES F32_LANES
#define REAL_BASE_NAME(name) BASE_NAME(name##_f32)
#define load_real load_f32
#define load_real_first load_f32_first
#define store_real store_f32
#define store_real_first store_f32_first
#define broadcast_real broadcast_f32
#define fma_real fma_f32
#define transpose_real transpose_f32
#define even_real even_f32
#define max_real max_f32
#define min_real min_f32
#endif

#define relu_real(x) max_real((realv){0}, x)

#if REAL_PAIRS
#define REAL_NAME(name) LEVEL_NAME(name##_bf16)
#define REAL_KERNELS(name) LEVEL_NAME(name##_bf16_kernels)
#else
#define REAL_NAME(name) REAL_BASE_NAME(name)
#if REAL_BITS == 64
#define REAL_KERNELS(name) LEVEL_NAME(name##_f64_kernels)
#else
#define REAL_KERNELS(name) LEVEL_NAME(name##_kernels)
#endif
#endif

#endif
