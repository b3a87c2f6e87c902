/*
 * types.h: how each dtype lies in memory (stored_T), what it is computed in (real_T), and the way
 * from one to the other. T is a dtype's short name: LOAD(f16, x, i), STORE(f16, y, i, value).
 */
#define STORED(T) JOIN(stored_, T)
#define REAL(T) JOIN(real_, T)
#define INPUT(T) GLOBAL const STORED(T) *
#define OUTPUT(T) GLOBAL STORED(T) *
#define LOAD(T, p, i) JOIN(load_, T)(p, i)
#define STORE(T, p, i, value) JOIN(store_, T)(p, i, value)

typedef float stored_f32, real_f32;
#define load_f32(p, i) ((p)[i])
#define store_f32(p, i, value) ((p)[i] = (float)(value))

typedef ushort stored_f16;
typedef float real_f16;
#ifdef __CUDACC__
DEVICE float half_to_float(ushort bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
DEVICE ushort float_to_half(float value) {
  ushort bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
#define load_f16(p, i) half_to_float((p)[i])
#define store_f16(p, i, value) ((p)[i] = float_to_half((float)(value)))
#else
#define load_f16(p, i) vload_half(i, (const GLOBAL half *)(p))
#define store_f16(p, i, value) vstore_half_rte((float)(value), i, (GLOBAL half *)(p))
#endif

typedef ushort stored_bf16;
typedef float real_bf16;
DEVICE ushort float_to_bfloat(float value) {
  const uint bits = FLOAT_TO_BITS(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (ushort)(bits >> 16 | 0x40u);
  return (ushort)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
#define load_bf16(p, i) BITS_TO_FLOAT((uint)(p)[i] << 16)
#define store_bf16(p, i, value) ((p)[i] = float_to_bfloat((float)(value)))

#ifdef HAS_F64
#ifndef __CUDACC__
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
typedef double stored_f64, real_f64;
#define load_f64(p, i) ((p)[i])
#define store_f64(p, i, value) ((p)[i] = (double)(value))
#endif

#define INTEGER_TYPE(T, stored, real) \
  typedef stored stored_##T;          \
  typedef real real_##T;
INTEGER_TYPE(i8, signed char, int)
INTEGER_TYPE(u8, uchar, int)
INTEGER_TYPE(i16, short, int)
INTEGER_TYPE(u16, ushort, int)
INTEGER_TYPE(i32, int, int)
INTEGER_TYPE(u32, uint, uint)
INTEGER_TYPE(i64, int64, int64)
INTEGER_TYPE(u64, uint64, uint64)
#define load_i8(p, i) ((real_i8)(p)[i])
#define load_u8(p, i) ((real_u8)(p)[i])
#define load_i16(p, i) ((real_i16)(p)[i])
#define load_u16(p, i) ((real_u16)(p)[i])
#define load_i32(p, i) ((p)[i])
#define load_u32(p, i) ((p)[i])
#define load_i64(p, i) ((p)[i])
#define load_u64(p, i) ((p)[i])
#define store_i8(p, i, value) ((p)[i] = (stored_i8)(value))
#define store_u8(p, i, value) ((p)[i] = (stored_u8)(value))
#define store_i16(p, i, value) ((p)[i] = (stored_i16)(value))
#define store_u16(p, i, value) ((p)[i] = (stored_u16)(value))
#define store_i32(p, i, value) ((p)[i] = (stored_i32)(value))
#define store_u32(p, i, value) ((p)[i] = (stored_u32)(value))
#define store_i64(p, i, value) ((p)[i] = (stored_i64)(value))
#define store_u64(p, i, value) ((p)[i] = (stored_u64)(value))

typedef uchar stored_bool;
typedef int real_bool;
#define load_bool(p, i) ((int)((p)[i] != 0))
#define store_bool(p, i, value) ((p)[i] = (uchar)((value) != 0))
