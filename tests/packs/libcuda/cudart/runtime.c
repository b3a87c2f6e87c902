/*
 * runtime.c: a libcudart on the driver alone, as far as PyTorch's allocator, streams, events,
 * copies and graphs call it. Kernels that it was linked with are launched without a word: nothing
 * is computed. What isn't here is in unsupported.inc, which is made when this is built.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "../context.h"

#define API __attribute__((visibility("default")))

enum { NOT_SUPPORTED = 801, DEVICE_ORDINAL = 9 };

typedef struct dimensions {
  unsigned x, y, z;
} dimensions;

static _Thread_local int last; /* the last error, until somebody asks */

static int noted(int status) {
  if (status) last = status;
  return status;
}

/** Define a function of the runtime that is one of the driver's, on the current device. */
#define IS(NAME, PARAMETERS, CALL)                            \
  API int NAME PARAMETERS {                                   \
    int without_context = have_context();                     \
    return noted(without_context ? without_context : (CALL)); \
  }

/* ---- Kernels that a library was linked with ----------------------------------- */

API void **__cudaRegisterFatBinary(void *binary) {
  static void *handle;
  (void)binary;
  return &handle;
}

API void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }
API void __cudaUnregisterFatBinary(void **handle) { (void)handle; }
API void __cudaRegisterFunction(void) {}
API void __cudaRegisterVar(void) {}
API char __cudaInitModule(void **handle) { return handle != NULL; }

static _Thread_local struct {
  dimensions grid, block;
  size_t shared;
  void *stream;
} pushed;

API unsigned __cudaPushCallConfiguration(dimensions grid, dimensions block, size_t shared,
                                         void *stream) {
  pushed.grid = grid;
  pushed.block = block;
  pushed.shared = shared;
  pushed.stream = stream;
  return 0;
}

API int __cudaPopCallConfiguration(dimensions *grid, dimensions *block, size_t *shared,
                                   void **stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *stream = pushed.stream;
  return 0;
}

API int __cudaGetKernel(const void **kernel, const void *function) {
  *kernel = function;
  return 0;
}

API int __cudaLaunchKernel(void) { return noted(have_context()); }
API int cudaLaunchKernel(void) { return noted(have_context()); }
API int cudaLaunchKernelExC(void) { return noted(have_context()); }

/* ---- Devices ----------------------------------------------------------------- */

API int cudaGetDeviceCount(int *count) {
  int status = cuInit(0);
  return noted(status ? status : cuDeviceGetCount(count));
}

API int cudaSetDevice(int device) { return noted(make_current(device)); }

IS(cudaGetDevice, (int *device), cuCtxGetDevice(device))
IS(cudaDeviceSynchronize, (void), cuCtxSynchronize())
IS(cudaDeviceGetAttribute, (int *number, int attribute, int device),
   cuDeviceGetAttribute(number, attribute, device))
IS(cudaDeviceGetPCIBusId, (char *text, int size, int device),
   cuDeviceGetPCIBusId(text, size, device))
IS(cudaDeviceGetStreamPriorityRange, (int *least, int *greatest),
   cuCtxGetStreamPriorityRange(least, greatest))

/** The beginning of cudaDeviceProp of CUDA 13; the rest is left as it is. */
typedef struct properties {
  char name[256], uuid[16], luid[8];
  unsigned luid_mask;
  size_t total_memory, shared_of_block;
  int registers_of_block, warp;
  size_t pitch;
  int threads_of_block, block[3], grid[3];
  size_t constant_memory;
  int major, minor;
  size_t texture_alignment, texture_pitch_alignment;
  int units;
} properties;

API int cudaGetDeviceProperties(properties *found, int device) {
  const struct {
    int attribute, *number;
  } numbers[] = {
      {1, &found->threads_of_block}, {2, &found->block[0]}, {3, &found->block[1]},
      {4, &found->block[2]},         {5, &found->grid[0]},  {6, &found->grid[1]},
      {7, &found->grid[2]},          {10, &found->warp},    {12, &found->registers_of_block},
      {16, &found->units},           {75, &found->major},   {76, &found->minor},
  };
  int status = have_context();
  memset(found, 0, sizeof *found);
  for (size_t i = 0; status == 0 && i < sizeof numbers / sizeof *numbers; i++)
    status = cuDeviceGetAttribute(numbers[i].number, numbers[i].attribute, device);
  int shared = 0;
  if (status == 0) status = cuDeviceGetAttribute(&shared, 8, device);
  found->shared_of_block = (size_t)shared;
  if (status == 0) status = cuDeviceTotalMem_v2(&found->total_memory, device);
  if (status == 0) status = cuDeviceGetName(found->name, sizeof found->name, device);
  return noted(status);
}

API int cudaDriverGetVersion(int *version) { return noted(cuDriverGetVersion(version)); }

API int cudaRuntimeGetVersion(int *version) {
  *version = RUNTIME_VERSION;
  return 0;
}

/* ---- Errors ------------------------------------------------------------------ */

API int cudaPeekAtLastError(void) { return last; }

API int cudaGetLastError(void) {
  int status = last;
  last = 0;
  return status;
}

API const char *cudaGetErrorName(int status) {
  const char *name = NULL;
  cuGetErrorName(status, &name);
  return name ? name : "unrecognized error code";
}

API const char *cudaGetErrorString(int status) {
  const char *text = NULL;
  cuGetErrorString(status, &text);
  return text ? text : "unrecognized error code";
}

/** What the driver hasn't is a function that says so, for tables that are filled beforehand. */
static int no_entry(void) { return NOT_SUPPORTED; }

API int cudaGetDriverEntryPointByVersion(const char *name, void **found, unsigned version,
                                         uint64_t flags, int *status) {
  if (cuGetProcAddress_v2(name, found, (int)version, flags, NULL))
    *(int (**)(void))found = no_entry;
  if (status) *status = 0;
  return 0;
}

/* ---- Memory ------------------------------------------------------------------ */

IS(cudaMalloc, (void **start, size_t bytes), cuMemAlloc_v2((uint64_t *)start, bytes))
IS(cudaFree, (void *start), cuMemFree_v2((uint64_t)start))
IS(cudaHostAlloc, (void **start, size_t bytes, unsigned flags), cuMemHostAlloc(start, bytes, flags))
IS(cudaFreeHost, (void *start), cuMemFreeHost(start))
IS(cudaMemGetInfo, (size_t *unused, size_t *total), cuMemGetInfo_v2(unused, total))
IS(cudaMemcpy, (void *target, const void *source, size_t bytes),
   cuMemcpy((uint64_t)target, (uint64_t)source, bytes))
IS(cudaMemcpyAsync, (void *target, const void *source, size_t bytes, int kind, void *stream),
   ((void)kind, cuMemcpyAsync((uint64_t)target, (uint64_t)source, bytes, stream)))
IS(cudaMemset, (void *target, int value, size_t bytes),
   cuMemsetD8_v2((uint64_t)target, (uint8_t)value, bytes))
IS(cudaMemsetAsync, (void *target, int value, size_t bytes, void *stream),
   cuMemsetD8Async((uint64_t)target, (uint8_t)value, bytes, stream))

typedef struct pointer_attributes {
  int kind, device;
  void *of_device, *of_host;
  long reserved[8];
} pointer_attributes;

/** What the driver doesn't know is the host's, which is no error to the runtime. */
API int cudaPointerGetAttributes(pointer_attributes *found, void *start) {
  int status = have_context();
  if (status) return noted(status);
  *found = (pointer_attributes){.device = -2};
  if (cuPointerGetAttribute(&found->kind, MEMORY_TYPE, (uint64_t)start)) return 0;
  found->of_device = start;
  return noted(cuPointerGetAttribute(&found->device, DEVICE_ORDINAL, (uint64_t)start));
}

/* ---- Streams, events, graphs ------------------------------------------------- */

IS(cudaStreamCreate, (void **made), cuStreamCreateWithPriority(made, 0, 0))
IS(cudaStreamCreateWithFlags, (void **made, unsigned flags),
   cuStreamCreateWithPriority(made, flags, 0))
IS(cudaStreamCreateWithPriority, (void **made, unsigned flags, int priority),
   cuStreamCreateWithPriority(made, flags, priority))
IS(cudaStreamDestroy, (void *stream), cuStreamDestroy_v2(stream))
IS(cudaStreamGetPriority, (void *stream, int *priority), cuStreamGetPriority(stream, priority))
IS(cudaStreamQuery, (void *stream), cuStreamQuery(stream))
IS(cudaStreamSynchronize, (void *stream), cuStreamSynchronize(stream))
IS(cudaStreamWaitEvent, (void *stream, void *event, unsigned flags),
   cuStreamWaitEvent(stream, event, flags))
IS(cudaStreamBeginCapture, (void *stream, int mode), cuStreamBeginCapture_v2(stream, mode))
IS(cudaStreamEndCapture, (void *stream, void **graph), cuStreamEndCapture(stream, graph))
IS(cudaStreamIsCapturing, (void *stream, int *state), cuStreamIsCapturing(stream, state))
IS(cudaThreadExchangeStreamCaptureMode, (int *mode), cuThreadExchangeStreamCaptureMode(mode))

/** Of what is recorded, that it is, and a number for it. */
API int cudaStreamGetCaptureInfo(void *stream, int *state, uint64_t *number) {
  int status = have_context();
  if (number) *number = (uint64_t)stream;
  return noted(status ? status : cuStreamIsCapturing(stream, state));
}

IS(cudaEventCreate, (void **made), cuEventCreate(made, 0))
IS(cudaEventCreateWithFlags, (void **made, unsigned flags), cuEventCreate(made, flags))
IS(cudaEventDestroy, (void *event), cuEventDestroy_v2(event))
IS(cudaEventElapsedTime, (float *milliseconds, void *start, void *end),
   cuEventElapsedTime_v2(milliseconds, start, end))
IS(cudaEventQuery, (void *event), cuEventQuery(event))
IS(cudaEventRecord, (void *event, void *stream), cuEventRecord(event, stream))
IS(cudaEventRecordWithFlags, (void *event, void *stream, unsigned flags),
   flags ? NOT_SUPPORTED : cuEventRecord(event, stream))
IS(cudaEventSynchronize, (void *event), cuEventSynchronize(event))

IS(cudaGraphInstantiateWithFlags, (void **made, void *graph, uint64_t flags),
   ((void)flags, cuGraphInstantiateWithFlags(made, graph, 0)))
IS(cudaGraphLaunch, (void *executable, void *stream), cuGraphLaunch(executable, stream))
IS(cudaGraphDestroy, (void *graph), cuGraphDestroy(graph))
IS(cudaGraphExecDestroy, (void *executable), cuGraphExecDestroy(executable))
IS(cudaGraphGetNodes, (void *graph, void **nodes, size_t *count),
   cuGraphGetNodes(graph, nodes, count))

/* ---- The rest ---------------------------------------------------------------- */

#define UNSUPPORTED(NAME) \
  API int NAME(void) { return noted(NOT_SUPPORTED); }
#include "unsupported.inc"
