/*
 * opencl.h: what the pack uses of OpenCL 1.2, reached through the loader at run time. Declared
 * here (Khronos OpenCL specification, sections 4 to 5), so that no headers are needed to build.
 */
#ifndef KERNELS_OPENCL_OPENCL_H
#define KERNELS_OPENCL_OPENCL_H

#include <stddef.h>
#include <stdint.h>

#include "kernel_pack.h"

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_bitfield;
typedef struct cl_platform *cl_platform_id;
typedef struct cl_device *cl_device_id;
typedef struct cl_context_object *cl_context;
typedef struct cl_queue_object *cl_command_queue;
typedef struct cl_mem_object *cl_mem;
typedef struct cl_program_object *cl_program;
typedef struct cl_kernel_object *cl_kernel;
typedef struct cl_event_object *cl_event;

typedef struct cl_buffer_region {
  size_t origin, size;
} cl_buffer_region;

enum {
  CL_SUCCESS = 0,
  CL_DEVICE_NOT_FOUND = -1,
  CL_MEM_OBJECT_ALLOCATION_FAILURE = -4,
  CL_OUT_OF_RESOURCES = -5,
  CL_OUT_OF_HOST_MEMORY = -6,
  CL_BUILD_PROGRAM_FAILURE = -11,
  CL_MISALIGNED_SUB_BUFFER_OFFSET = -13,
  CL_INVALID_BUFFER_SIZE = -61
};

enum {
  CL_DEVICE_TYPE = 0x1000,
  CL_DEVICE_MAX_COMPUTE_UNITS = 0x1002,
  CL_DEVICE_MAX_WORK_GROUP_SIZE = 0x1004,
  CL_DEVICE_MEM_BASE_ADDR_ALIGN = 0x1019,
  CL_DEVICE_SINGLE_FP_CONFIG = 0x101B,
  CL_DEVICE_LOCAL_MEM_SIZE = 0x1023,
  CL_DEVICE_NAME = 0x102B,
  CL_DRIVER_VERSION = 0x102D,
  CL_DEVICE_VERSION = 0x102F,
  CL_DEVICE_EXTENSIONS = 0x1030,
  CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT = 0x103A,
  CL_PROGRAM_BINARY_SIZES = 0x1165,
  CL_PROGRAM_BINARIES = 0x1166,
  CL_PROGRAM_BUILD_LOG = 0x1183,
  CL_BUFFER_CREATE_TYPE_REGION = 0x1220
};

#define CL_DEVICE_TYPE_CPU ((cl_bitfield)1 << 1)
#define CL_DEVICE_TYPE_ALL ((cl_bitfield)0xFFFFFFFF)
#define CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ((cl_bitfield)1 << 7)
#define CL_MEM_READ_WRITE ((cl_bitfield)1 << 0)
#define CL_MEM_READ_ONLY ((cl_bitfield)1 << 2)
#define CL_MEM_COPY_HOST_PTR ((cl_bitfield)1 << 5)

#define OPENCL_FUNCTIONS(X)                                                                       \
  X(cl_int, GetPlatformIDs, (cl_uint, cl_platform_id *, cl_uint *))                               \
  X(cl_int, GetDeviceIDs, (cl_platform_id, cl_bitfield, cl_uint, cl_device_id *, cl_uint *))      \
  X(cl_int, GetDeviceInfo, (cl_device_id, cl_uint, size_t, void *, size_t *))                     \
  X(cl_context, CreateContext,                                                                    \
    (const intptr_t *, cl_uint, const cl_device_id *,                                             \
     void (*)(const char *, const void *, size_t, void *), void *, cl_int *))                     \
  X(cl_int, ReleaseContext, (cl_context))                                                         \
  X(cl_command_queue, CreateCommandQueue, (cl_context, cl_device_id, cl_bitfield, cl_int *))      \
  X(cl_int, ReleaseCommandQueue, (cl_command_queue))                                              \
  X(cl_mem, CreateBuffer, (cl_context, cl_bitfield, size_t, void *, cl_int *))                    \
  X(cl_mem, CreateSubBuffer, (cl_mem, cl_bitfield, cl_uint, const void *, cl_int *))              \
  X(cl_int, ReleaseMemObject, (cl_mem))                                                           \
  X(cl_program, CreateProgramWithSource,                                                          \
    (cl_context, cl_uint, const char **, const size_t *, cl_int *))                               \
  X(cl_program, CreateProgramWithBinary,                                                          \
    (cl_context, cl_uint, const cl_device_id *, const size_t *, const unsigned char **, cl_int *, \
     cl_int *))                                                                                   \
  X(cl_int, BuildProgram,                                                                         \
    (cl_program, cl_uint, const cl_device_id *, const char *, void (*)(cl_program, void *),       \
     void *))                                                                                     \
  X(cl_int, GetProgramInfo, (cl_program, cl_uint, size_t, void *, size_t *))                      \
  X(cl_int, GetProgramBuildInfo, (cl_program, cl_device_id, cl_uint, size_t, void *, size_t *))   \
  X(cl_int, ReleaseProgram, (cl_program))                                                         \
  X(cl_kernel, CreateKernel, (cl_program, const char *, cl_int *))                                \
  X(cl_int, SetKernelArg, (cl_kernel, cl_uint, size_t, const void *))                             \
  X(cl_int, ReleaseKernel, (cl_kernel))                                                           \
  X(cl_int, EnqueueNDRangeKernel,                                                                 \
    (cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *,        \
     cl_uint, const cl_event *, cl_event *))                                                      \
  X(cl_int, EnqueueReadBuffer,                                                                    \
    (cl_command_queue, cl_mem, cl_uint, size_t, size_t, void *, cl_uint, const cl_event *,        \
     cl_event *))                                                                                 \
  X(cl_int, EnqueueWriteBuffer,                                                                   \
    (cl_command_queue, cl_mem, cl_uint, size_t, size_t, const void *, cl_uint, const cl_event *,  \
     cl_event *))                                                                                 \
  X(cl_int, EnqueueCopyBuffer,                                                                    \
    (cl_command_queue, cl_mem, cl_mem, size_t, size_t, size_t, cl_uint, const cl_event *,         \
     cl_event *))                                                                                 \
  X(cl_int, Finish, (cl_command_queue))

typedef struct opencl_functions {
#define DECLARE(RESULT, NAME, ARGUMENTS) RESULT(*NAME) ARGUMENTS;
  OPENCL_FUNCTIONS(DECLARE)
#undef DECLARE
} opencl_functions;

/* Loads the library at `path`; NULL: libOpenCL by the names that systems have for it. It stays
 * loaded: drivers' threads may outlive the pack. */
kp_status opencl_load(const char *path, opencl_functions *functions, kp_error *error);

/* Writes "what: OpenCL status N" where `status` isn't CL_SUCCESS. */
kp_status opencl_check(cl_int status, const char *what, kp_error *error);

#endif
