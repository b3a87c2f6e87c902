/*
 * fake_opencl.c: a loader with one device, for the OpenCL pack's native side under sanitizers,
 * which drivers don't stand. Its one kernel adds two buffers; its objects are counted, and any
 * call can be made to fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl.h"

#define EXPORT __attribute__((visibility("default")))
enum { FAILED = CL_OUT_OF_RESOURCES, MAX_ARGUMENTS = 8, TEXT_ROOM = 4096 };

typedef struct object {
  char *data; /* of a buffer: its bytes; of a program: its text */
  size_t size;
  struct object *parent; /* of a view, and of what belongs to another object */
  int references;
  void *arguments[MAX_ARGUMENTS];
  size_t argument_sizes[MAX_ARGUMENTS];
} object;

EXPORT int fake_objects, fake_calls, fake_fails_at, fake_binaries;

/* Whether this call is the one to fail. */
static int fails(void) { return ++fake_calls == fake_fails_at; }

static void *new_object(size_t size, object *parent, cl_int *status) {
  if (fails()) {
    if (status) *status = FAILED;
    return NULL;
  }
  object *o = calloc(1, sizeof *o);
  if (!o || !(o->data = calloc(size + 1, 1))) abort();
  o->size = size;
  o->references = 1;
  o->parent = parent;
  if (parent) parent->references++;
  fake_objects++;
  if (status) *status = CL_SUCCESS;
  return o;
}

static cl_int release(void *handle) {
  object *o = handle;
  if (!o || o->references <= 0) abort();
  if (--o->references) return CL_SUCCESS;
  if (o->parent) release(o->parent);
  free(o->data);
  free(o);
  fake_objects--;
  return CL_SUCCESS;
}

static object platform, device;

/* ---- Devices ------------------------------------------------------------------ */

EXPORT cl_int clGetPlatformIDs(cl_uint room, cl_platform_id *platforms, cl_uint *count) {
  if (fails()) return FAILED;
  if (room) platforms[0] = (cl_platform_id)&platform;
  *count = 1;
  return CL_SUCCESS;
}

EXPORT cl_int clGetDeviceIDs(cl_platform_id of, cl_bitfield type, cl_uint room,
                             cl_device_id *devices, cl_uint *count) {
  (void)of, (void)type;
  if (fails()) return FAILED;
  if (room) devices[0] = (cl_device_id)&device;
  *count = 1;
  return CL_SUCCESS;
}

static cl_int give(const void *value, size_t bytes, size_t room, void *result, size_t *size) {
  if (size) *size = bytes;
  if (result && room < bytes) return -30;
  if (result) memcpy(result, value, bytes);
  return CL_SUCCESS;
}

EXPORT cl_int clGetDeviceInfo(cl_device_id of, cl_uint property, size_t room, void *result,
                              size_t *size) {
  static const cl_bitfield type = CL_DEVICE_TYPE_CPU, config = 0, local = 32768;
  static const size_t items = 64;
  static const cl_uint alignment = 1024, one = 1;
  (void)of;
  if (fails()) return FAILED;
  switch (property) {
    case CL_DEVICE_NAME:
      return give("Fake", 5, room, result, size);
    case CL_DEVICE_VERSION:
      return give("OpenCL 1.2", 11, room, result, size);
    case CL_DRIVER_VERSION:
      return give("1", 2, room, result, size);
    case CL_DEVICE_EXTENSIONS:
      return give("cl_khr_fp64", 12, room, result, size);
    case CL_DEVICE_TYPE:
      return give(&type, sizeof type, room, result, size);
    case CL_DEVICE_SINGLE_FP_CONFIG:
      return give(&config, sizeof config, room, result, size);
    case CL_DEVICE_LOCAL_MEM_SIZE:
      return give(&local, sizeof local, room, result, size);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
      return give(&items, sizeof items, room, result, size);
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
      return give(&alignment, sizeof alignment, room, result, size);
    default:
      return give(&one, sizeof one, room, result, size);
  }
}

EXPORT cl_context clCreateContext(const intptr_t *properties, cl_uint count,
                                  const cl_device_id *devices,
                                  void (*notify)(const char *, const void *, size_t, void *),
                                  void *data, cl_int *status) {
  (void)properties, (void)count, (void)devices, (void)notify, (void)data;
  return new_object(0, NULL, status);
}
EXPORT cl_int clReleaseContext(cl_context context) { return release(context); }

EXPORT cl_command_queue clCreateCommandQueue(cl_context context, cl_device_id of,
                                             cl_bitfield properties, cl_int *status) {
  (void)of, (void)properties;
  return new_object(0, (object *)context, status);
}
EXPORT cl_int clReleaseCommandQueue(cl_command_queue queue) { return release(queue); }

/* ---- Buffers ------------------------------------------------------------------ */

EXPORT cl_mem clCreateBuffer(cl_context context, cl_bitfield flags, size_t size, void *host,
                             cl_int *status) {
  if (!size) abort();
  object *o = new_object(size, (object *)context, status);
  if (o && flags & CL_MEM_COPY_HOST_PTR) memcpy(o->data, host, size);
  return (cl_mem)o;
}

EXPORT cl_mem clCreateSubBuffer(cl_mem buffer, cl_bitfield flags, cl_uint type, const void *region,
                                cl_int *status) {
  const cl_buffer_region *part = region;
  object *whole = (object *)buffer;
  (void)flags, (void)type;
  if (part->origin % 128) {
    *status = CL_MISALIGNED_SUB_BUFFER_OFFSET;
    return NULL;
  }
  object *o = new_object(0, whole, status);
  if (!o) return NULL;
  if (part->origin > whole->size || part->size > whole->size - part->origin) abort();
  free(o->data);
  o->data = whole->data + part->origin;
  o->size = part->size;
  return (cl_mem)o;
}

static int is_view(const object *o) {
  return o->parent && o->data >= o->parent->data && o->data <= o->parent->data + o->parent->size;
}

EXPORT cl_int clReleaseMemObject(cl_mem buffer) {
  object *o = (object *)buffer;
  if (o->references == 1 && is_view(o)) o->data = NULL;
  return release(o);
}

static cl_int copy(void *to, const void *from, size_t size, const object *bounded) {
  if (fails()) return FAILED;
  if (size > bounded->size) abort();
  memcpy(to, from, size);
  return CL_SUCCESS;
}

EXPORT cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer, cl_uint blocking,
                                  size_t offset, size_t size, void *host, cl_uint events,
                                  const cl_event *wait, cl_event *event) {
  (void)queue, (void)blocking, (void)offset, (void)events, (void)wait, (void)event;
  return copy(host, ((object *)buffer)->data, size, (object *)buffer);
}

EXPORT cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer, cl_uint blocking,
                                   size_t offset, size_t size, const void *host, cl_uint events,
                                   const cl_event *wait, cl_event *event) {
  (void)queue, (void)blocking, (void)offset, (void)events, (void)wait, (void)event;
  return copy(((object *)buffer)->data, host, size, (object *)buffer);
}

EXPORT cl_int clEnqueueCopyBuffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at,
                                  size_t to_at, size_t size, cl_uint events, const cl_event *wait,
                                  cl_event *event) {
  (void)queue, (void)from_at, (void)to_at, (void)events, (void)wait, (void)event;
  return copy(((object *)to)->data, ((object *)from)->data, size, (object *)from);
}

EXPORT cl_int clFinish(cl_command_queue queue) {
  (void)queue;
  return fails() ? FAILED : CL_SUCCESS;
}

/* ---- Programs ----------------------------------------------------------------- */

EXPORT cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **texts,
                                            const size_t *lengths, cl_int *status) {
  (void)count, (void)lengths;
  object *o = new_object(TEXT_ROOM, (object *)context, status);
  if (o) snprintf(o->data, TEXT_ROOM, "%s", texts[0]);
  return (cl_program)o;
}

/* A binary is the text after a word. */
EXPORT cl_program clCreateProgramWithBinary(cl_context context, cl_uint count,
                                            const cl_device_id *devices, const size_t *sizes,
                                            const unsigned char **binaries, cl_int *loaded,
                                            cl_int *status) {
  (void)count, (void)devices;
  *loaded = CL_SUCCESS;
  if (sizes[0] < 7 || memcmp(binaries[0], "BINARY:", 7)) {
    *status = *loaded = -42;
    return NULL;
  }
  object *o = new_object(TEXT_ROOM, (object *)context, status);
  if (o) memcpy(o->data, binaries[0] + 7, sizes[0] - 7);
  if (o) fake_binaries++;
  return (cl_program)o;
}

EXPORT cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices,
                             const char *options, void (*notify)(cl_program, void *), void *data) {
  (void)count, (void)devices, (void)options, (void)notify, (void)data;
  if (fails()) return FAILED;
  return strstr(((object *)program)->data, "broken") ? CL_BUILD_PROGRAM_FAILURE : CL_SUCCESS;
}

EXPORT cl_int clGetProgramInfo(cl_program program, cl_uint property, size_t room, void *result,
                               size_t *size) {
  const char *text = ((object *)program)->data;
  size_t bytes = 7 + strlen(text);
  if (fails()) return FAILED;
  if (property == CL_PROGRAM_BINARY_SIZES) return give(&bytes, sizeof bytes, room, result, size);
  unsigned char *binary = *(unsigned char **)result;
  memcpy(binary, "BINARY:", 7);
  memcpy(binary + 7, text, bytes - 7);
  return CL_SUCCESS;
}

EXPORT cl_int clGetProgramBuildInfo(cl_program program, cl_device_id of, cl_uint property,
                                    size_t room, void *result, size_t *size) {
  (void)program, (void)of, (void)property;
  if (fails()) return FAILED;
  return give("it is broken", 13, room, result, size);
}

EXPORT cl_int clReleaseProgram(cl_program program) { return release(program); }

/* ---- Kernels ------------------------------------------------------------------ */

EXPORT cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *status) {
  if (strcmp(name, "sum")) {
    *status = -46;
    return NULL;
  }
  return new_object(0, (object *)program, status);
}

EXPORT cl_int clSetKernelArg(cl_kernel kernel, cl_uint position, size_t size, const void *value) {
  object *o = (object *)kernel;
  if (fails()) return FAILED;
  if (position >= MAX_ARGUMENTS || size > sizeof(void *)) abort();
  memcpy(&o->arguments[position], value, size);
  o->argument_sizes[position] = size;
  return CL_SUCCESS;
}

EXPORT cl_int clReleaseKernel(cl_kernel kernel) { return release(kernel); }

/* y[i] = a[i] + b[i] + table[0] + parameters.number */
EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint axes,
                                     const size_t *offsets, const size_t *global,
                                     const size_t *local, cl_uint events, const cl_event *wait,
                                     cl_event *event) {
  object *o = (object *)kernel, *buffers[4];
  float number;
  (void)queue, (void)offsets, (void)local, (void)events, (void)wait, (void)event;
  if (fails()) return FAILED;
  if (axes != 1 || o->argument_sizes[4] != sizeof number) abort();
  memcpy(buffers, o->arguments, sizeof buffers);
  memcpy(&number, &o->arguments[4], sizeof number);
  for (int i = 0; i < 3; i++)
    if (buffers[i]->size < global[0] * sizeof(float)) abort();
  for (size_t i = 0; i < global[0]; i++)
    ((float *)buffers[2]->data)[i] = ((float *)buffers[0]->data)[i] +
                                     ((float *)buffers[1]->data)[i] + *(float *)buffers[3]->data +
                                     number;
  return CL_SUCCESS;
}
