/*
 * device.h: one language for OpenCL C and CUDA C.
 *
 * A kernel is `KERNEL(items) void name(GLOBAL const stored_x *x, ..., const name_parameters p)`:
 * `items` is how many work-items its groups have, which compilers share registers out by (CUDA's
 * isn't told, it would spill some for more groups at once), and its last parameter is a struct by
 * value. Places are GROUP(axis), ITEM(axis) and GROUPS(axis) with axis 0 or 1; a group's own memory
 * is LOCAL and BARRIER() orders it. DOT_OF_BYTES(a, b, sum), of devices that have it, adds the
 * products of the four signed bytes of two ints. RAISE(place, value) makes the larger of both of an
 * int of global memory, whichever work-item comes first.
 */
#ifdef __CUDACC__
#define KERNEL(items) extern "C" __global__
#define DEVICE static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__
#define RESTRICT __restrict__
#define GROUP_0 ((int)blockIdx.x)
#define GROUP_1 ((int)blockIdx.y)
#define GROUP_2 ((int)blockIdx.z)
#define ITEM_0 ((int)threadIdx.x)
#define ITEM_1 ((int)threadIdx.y)
#define GROUPS_0 ((int)gridDim.x)
#define BARRIER() __syncthreads()
#define BARRIER_OF_GLOBAL() __syncthreads()
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef long long int64;
typedef unsigned long long uint64;
#define ROUNDED_PRODUCT(a, b) __fmul_rn(a, b)
#define BITS_TO_FLOAT(bits) __uint_as_float(bits)
#define FLOAT_TO_BITS(value) __float_as_uint(value)
#define DOT_OF_BYTES(a, b, sum) __dp4a(a, b, sum)
#define SUB_GROUP_SIZE 32
#define SUB_GROUP (ITEM_0 / 32)
#define SUB_GROUP_ITEM (ITEM_0 % 32)
#define VALUE_ACROSS(value, distance) __shfl_xor_sync(0xffffffffu, value, distance)
#define RAISE(place, value) ((void)atomicMax(place, value))
#else
#define KERNEL(items) __kernel __attribute__((reqd_work_group_size(items, 1, 1)))
#define DEVICE static inline
#define GLOBAL __global
#define LOCAL __local
#define RESTRICT restrict
#define GROUP_0 ((int)get_group_id(0))
#define GROUP_1 ((int)get_group_id(1))
#define GROUP_2 ((int)get_group_id(2))
#define ITEM_0 ((int)get_local_id(0))
#define ITEM_1 ((int)get_local_id(1))
#define GROUPS_0 ((int)get_num_groups(0))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define BARRIER_OF_GLOBAL() barrier(CLK_GLOBAL_MEM_FENCE)
typedef long int64;
typedef ulong uint64;
#define ROUNDED_PRODUCT(a, b) rounded_product(a, b)
#define BITS_TO_FLOAT(bits) as_float(bits)
#define FLOAT_TO_BITS(value) as_uint(value)
#define SUB_GROUP_SIZE ((int)get_sub_group_size())
#define SUB_GROUP ((int)get_sub_group_id())
#define SUB_GROUP_ITEM ((int)get_sub_group_local_id())
#define VALUE_ACROSS(value, distance) sub_group_shuffle_xor(value, (uint)(distance))
#define RAISE(place, value) ((void)atomic_max(place, value))
#define DOT_OF_BYTES(a, b, sum) ((sum) + dot_4x8packed_ss_int((uint)(a), (uint)(b)))
#endif

#define GROUP(axis) GROUP_##axis
#define ITEM(axis) ITEM_##axis
#define GROUPS(axis) GROUPS_##axis

#define ALIGNED(bytes) __attribute__((aligned(bytes)))

/* Before a loop of few and fixed turns. */
#define UNROLL _Pragma("unroll")
/* Before a loop of more turns, whose loads are to overlap. */
#define UNROLL_BY_4 _Pragma("unroll 4")
/* Before a loop whose turns are to share their code. */
#define ROLL _Pragma("unroll 1")

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#ifndef __CUDACC__
/* A product that is rounded before anything is added to it. */
static inline float rounded_product(float a, float b) {
#pragma OPENCL FP_CONTRACT OFF
  return a * b;
}
#endif
