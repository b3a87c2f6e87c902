/*
 * device.c: initialisation, errors' texts, devices that look like an H200, primary contexts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcuda.h"

enum { MOST_CONTEXTS = 32, VERSION = 13000 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
pthread_mutex_t driver_lock;
CUresult lost;

static bool initialized;
static context primary[MAX_DEVICES];
static _Thread_local context *contexts[MOST_CONTEXTS];
static _Thread_local int depth; /* contexts[depth - 1] is current */

static void make_lock(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&driver_lock, &attributes);
  for (int i = 0; i < MAX_DEVICES; i++) primary[i].device = i;
}

__attribute__((constructor)) static void loaded(void) { pthread_once(&once, make_lock); }

void lock_driver(const char *function) {
  pthread_mutex_lock(&driver_lock);
  note_call(function);
}

void unlock_driver(int *unused) {
  (void)unused;
  pthread_mutex_unlock(&driver_lock);
}

bool is_initialized(void) { return initialized; }

static int number_of(const char *variable, int otherwise) {
  const char *text = getenv(variable);
  return text ? atoi(text) : otherwise;
}

int device_count(void) {
  int count = number_of("LIBCUDA_DEVICES", 1);
  return count < MAX_DEVICES ? count : MAX_DEVICES;
}

static bool is_device(CUdevice device) { return device >= 0 && device < device_count(); }

/* ---- The driver -------------------------------------------------------------- */

API CUresult cuInit(unsigned flags) {
  ENTER_ALWAYS;
  if (flags) return INVALID_VALUE;
  if (device_count() == 0) return NO_DEVICE;
  initialized = true;
  return SUCCESS;
}

API CUresult cuDriverGetVersion(int *version) {
  ENTER_ALWAYS;
  if (version == NULL) return INVALID_VALUE;
  *version = number_of("LIBCUDA_VERSION", VERSION);
  return SUCCESS;
}

static const struct {
  CUresult status;
  const char *name, *text;
} errors[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE",
     "the operation cannot be performed in the present state"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CAPTURE_MERGE, "CUDA_ERROR_STREAM_CAPTURE_MERGE",
     "operation would result in a merge of separate capture sequences"},
    {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
     "capture was not ended in the same stream as it began"},
    {CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
    {CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

enum { NUM_ERRORS = sizeof errors / sizeof *errors };

static size_t error_of(CUresult status) {
  size_t i = 0;
  while (i < NUM_ERRORS && errors[i].status != status) i++;
  return i;
}

API CUresult cuGetErrorString(CUresult status, const char **text) {
  ENTER_ALWAYS;
  size_t i = error_of(status);
  *text = i < NUM_ERRORS ? errors[i].text : NULL;
  return *text ? SUCCESS : INVALID_VALUE;
}

API CUresult cuGetErrorName(CUresult status, const char **name) {
  ENTER_ALWAYS;
  size_t i = error_of(status);
  *name = i < NUM_ERRORS ? errors[i].name : NULL;
  return *name ? SUCCESS : INVALID_VALUE;
}

/** The newest function of a name. */
API CUresult cuGetProcAddress_v2(const char *name, void **found, int version, uint64_t flags,
                                 int *status) {
  ENTER_ALWAYS;
  (void)version;
  (void)flags;
  Dl_info self;
  dladdr((void *)cuGetProcAddress_v2, &self);
  void *library = dlopen(self.dli_fname, RTLD_NOLOAD | RTLD_NOW);
  static const char *const suffixes[] = {"_v3", "_v2", ""};
  *found = NULL;
  for (size_t i = 0; *found == NULL && i < 3; i++) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", name, suffixes[i]);
    *found = dlsym(library, full);
  }
  dlclose(library);
  if (status) *status = *found == NULL; /* 1: no such symbol */
  return *found ? SUCCESS : NOT_FOUND;
}

/**
 * None of the tables that NVIDIA's runtime asks for: it tests by them whether a driver is
 * NVIDIA's, which this one isn't.
 */
API CUresult cuGetExportTable(const void **table, const void *id) {
  ENTER_ALWAYS;
  (void)id;
  *table = NULL;
  return NOT_SUPPORTED;
}

/* ---- Devices ----------------------------------------------------------------- */

API CUresult cuDeviceGetCount(int *count) {
  ENTER;
  *count = device_count();
  return SUCCESS;
}

API CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  ENTER;
  if (!is_device(ordinal)) return INVALID_DEVICE;
  *device = ordinal;
  return SUCCESS;
}

API CUresult cuDeviceGetName(char *name, int size, CUdevice device) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  snprintf(name, (size_t)size, "NVIDIA H200");
  return SUCCESS;
}

API CUresult cuDeviceGetUuid_v2(unsigned char *uuid, CUdevice device) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  for (int i = 0; i < 16; i++) uuid[i] = (unsigned char)(i ? i : device);
  return SUCCESS;
}

API CUresult cuDeviceGetPCIBusId(char *text, int size, CUdevice device) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  snprintf(text, (size_t)size, "0000:%02X:00.0", 16 + device);
  return SUCCESS;
}

static const int attributes[][2] = {
    {1, MAX_BLOCK},          /* MAX_THREADS_PER_BLOCK */
    {2, 1024},               /* MAX_BLOCK_DIM_X */
    {3, 1024},               /* MAX_BLOCK_DIM_Y */
    {4, 64},                 /* MAX_BLOCK_DIM_Z */
    {5, 0x7fffffff},         /* MAX_GRID_DIM_X */
    {6, 65535},              /* MAX_GRID_DIM_Y */
    {7, 65535},              /* MAX_GRID_DIM_Z */
    {8, SHARED_BYTES},       /* MAX_SHARED_MEMORY_PER_BLOCK */
    {9, 64 << 10},           /* TOTAL_CONSTANT_MEMORY */
    {10, 32},                /* WARP_SIZE */
    {12, 65536},             /* MAX_REGISTERS_PER_BLOCK */
    {13, 1980000},           /* CLOCK_RATE */
    {14, 512},               /* TEXTURE_ALIGNMENT */
    {16, 132},               /* MULTIPROCESSOR_COUNT */
    {19, 1},                 /* CAN_MAP_HOST_MEMORY */
    {31, 1},                 /* CONCURRENT_KERNELS */
    {32, 1},                 /* ECC_ENABLED */
    {36, 3201000},           /* MEMORY_CLOCK_RATE */
    {37, 6144},              /* GLOBAL_MEMORY_BUS_WIDTH */
    {38, 60 << 20},          /* L2_CACHE_SIZE */
    {39, 2048},              /* MAX_THREADS_PER_MULTIPROCESSOR */
    {40, 3},                 /* ASYNC_ENGINE_COUNT */
    {41, 1},                 /* UNIFIED_ADDRESSING */
    {75, 9},                 /* COMPUTE_CAPABILITY_MAJOR */
    {76, 0},                 /* COMPUTE_CAPABILITY_MINOR */
    {78, 1},                 /* STREAM_PRIORITIES_SUPPORTED */
    {81, 228 << 10},         /* MAX_SHARED_MEMORY_PER_MULTIPROCESSOR */
    {82, 65536},             /* MAX_REGISTERS_PER_MULTIPROCESSOR */
    {95, 1},                 /* COOPERATIVE_LAUNCH */
    {97, MOST_SHARED_BYTES}, /* MAX_SHARED_MEMORY_PER_BLOCK_OPTIN */
    {106, 32},               /* MAX_BLOCKS_PER_MULTIPROCESSOR */
    {111, 1 << 10},          /* RESERVED_SHARED_MEMORY_PER_BLOCK */
    {115, 1},                /* MEMORY_POOLS_SUPPORTED */
};

API CUresult cuDeviceGetAttribute(int *number, int attribute, CUdevice device) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  *number = 0;
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    if (attributes[i][0] == attribute) *number = attributes[i][1];
  if (attribute == 33) *number = 16 + device; /* PCI_BUS_ID */
  return SUCCESS;
}

API CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer) {
  ENTER;
  if (!is_device(device) || !is_device(peer)) return INVALID_DEVICE;
  *can = 0;
  return SUCCESS;
}

/* ---- Contexts ---------------------------------------------------------------- */

context *current_context(void) { return depth ? contexts[depth - 1] : NULL; }

static bool is_context(const context *one) {
  return one >= primary && one < primary + device_count() && one->users > 0 &&
         one == &primary[one->device];
}

API CUresult cuDevicePrimaryCtxRetain(context **made, CUdevice device) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  primary[device].users++;
  *made = &primary[device];
  return SUCCESS;
}

API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  if (primary[device].users == 0) return INVALID_CONTEXT;
  primary[device].users--;
  return SUCCESS;
}

API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
  ENTER;
  if (!is_device(device)) return INVALID_DEVICE;
  *flags = primary[device].flags;
  *active = primary[device].users > 0;
  return SUCCESS;
}

API CUresult cuCtxGetCurrent(context **found) {
  ENTER_INITIALIZED;
  *found = current_context();
  return SUCCESS;
}

API CUresult cuCtxSetCurrent(context *one) {
  ENTER_INITIALIZED;
  if (one != NULL && !is_context(one)) return INVALID_CONTEXT;
  if (depth) depth--;
  if (one != NULL) contexts[depth++] = one;
  return SUCCESS;
}

API CUresult cuCtxPushCurrent_v2(context *one) {
  ENTER_INITIALIZED;
  if (!is_context(one) || depth == MOST_CONTEXTS) return INVALID_CONTEXT;
  contexts[depth++] = one;
  return SUCCESS;
}

API CUresult cuCtxPopCurrent_v2(context **popped) {
  ENTER_INITIALIZED;
  if (depth == 0) return INVALID_CONTEXT;
  context *one = contexts[--depth];
  if (popped) *popped = one;
  return SUCCESS;
}

API CUresult cuCtxGetDevice(CUdevice *device) {
  ENTER_CONTEXT;
  *device = current_context()->device;
  return SUCCESS;
}

API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  ENTER_CONTEXT;
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return SUCCESS;
}

API CUresult cuCtxSynchronize(void) {
  ENTER_CONTEXT;
  return unsafe();
}
