/*
 * runtime.c: the functions of CuPy's module for NVIDIA's runtime, by the driver alone.
 *
 * NVIDIA's runtime doesn't begin with a driver that isn't NVIDIA's, and CuPy's wheels hold it. But
 * CuPy's other modules call it through the table of one module (`__pyx_capi__`), so that these
 * functions can take its place: tests/packs/cuda_for_tests.py puts them there.
 *
 * As there, each takes a last number that means nothing to it, and what fails raises CuPy's error.
 */
#include <Python.h>

#include <stdint.h>

#include "../context.h"

#define API __attribute__((visibility("default")))

enum { RELAXED = 2 };

static PyObject *error_type; /* CUDARuntimeError */

/** Set what failures raise. */
API void set_error_type(PyObject *type) {
  Py_INCREF(type);
  error_type = type;
}

/** Say whether a call failed, and raise. */
static int failed(int status) {
  if (status == 0) return 0;
  PyGILState_STATE held = PyGILState_Ensure();
  PyObject *error = PyObject_CallFunction(error_type, "i", status);
  if (error) {
    PyErr_SetObject(error_type, error);
    Py_DECREF(error);
  }
  PyGILState_Release(held);
  return 1;
}

static PyObject *none_or_error(int status) {
  if (failed(status)) return NULL;
  Py_RETURN_NONE;
}

static PyObject *number_or_error(int status) {
  if (failed(status)) return NULL;
  return PyLong_FromLong(status);
}

/* ---- Devices ----------------------------------------------------------------- */

#define DO(CALL)                                      \
  do {                                                \
    int status_ = have_context();                     \
    return none_or_error(status_ ? status_ : (CALL)); \
  } while (0)

/** Return what a call gives; where it fails, the value by which Cython knows to look. */
#define GIVE(TYPE, NAME, OTHERWISE, CALL) \
  TYPE NAME = 0;                          \
  int status_ = have_context();           \
  return failed(status_ ? status_ : (CALL)) ? OTHERWISE : NAME

API int runtime_getDeviceCount(int skip) {
  (void)skip;
  int count = 0, status = cuInit(0);
  return failed(status ? status : cuDeviceGetCount(&count)) ? -1 : count;
}

API int runtime_getDevice(int skip) {
  (void)skip;
  GIVE(int, device, -1, cuCtxGetDevice(&device));
}

API PyObject *runtime_setDevice(int device, int skip) {
  (void)skip;
  return none_or_error(make_current(device));
}

API PyObject *runtime__ensure_context(void) { return none_or_error(have_context()); }

API int runtime_deviceGetAttribute(int attribute, int device, int skip) {
  (void)skip;
  GIVE(int, number, -1, cuDeviceGetAttribute(&number, attribute, device));
}

API PyObject *runtime_deviceSynchronize(int skip) {
  (void)skip;
  DO(cuCtxSynchronize());
}

API int runtime_driverGetVersion(int skip) {
  (void)skip;
  GIVE(int, version, -1, cuDriverGetVersion(&version));
}

API int runtime_runtimeGetVersion(int skip) {
  (void)skip;
  return RUNTIME_VERSION;
}

/* ---- Memory ------------------------------------------------------------------ */

API intptr_t runtime_malloc(size_t bytes, int skip) {
  (void)skip;
  GIVE(intptr_t, start, 0, bytes ? cuMemAlloc_v2((uint64_t *)&start, bytes) : 0);
}

API PyObject *runtime_free(intptr_t start, int skip) {
  (void)skip;
  DO(cuMemFree_v2((uint64_t)start));
}

API intptr_t runtime_hostAlloc(size_t bytes, unsigned flags, int skip) {
  (void)skip;
  GIVE(intptr_t, start, 0, cuMemHostAlloc((void **)&start, bytes, flags));
}

API PyObject *runtime_freeHost(intptr_t start, int skip) {
  (void)skip;
  DO(cuMemFreeHost((void *)start));
}

API int runtime_pointerGetMemoryType(intptr_t start, int skip) {
  (void)skip;
  int kind = 0, status = have_context();
  if (failed(status)) return -1;
  /* What the driver doesn't know is the host's, which is no error to the runtime. */
  return cuPointerGetAttribute(&kind, MEMORY_TYPE, (uint64_t)start) ? 0 : kind;
}

API PyObject *runtime_memGetInfo(int skip) {
  (void)skip;
  size_t unused = 0, total = 0;
  int status = have_context();
  if (failed(status ? status : cuMemGetInfo_v2(&unused, &total))) return NULL;
  return Py_BuildValue("nn", (Py_ssize_t)unused, (Py_ssize_t)total);
}

API PyObject *runtime_memcpy(intptr_t target, intptr_t source, size_t bytes, int kind, int skip) {
  (void)kind;
  (void)skip;
  DO(cuMemcpy((uint64_t)target, (uint64_t)source, bytes));
}

API PyObject *runtime_memcpyAsync(intptr_t target, intptr_t source, size_t bytes, int kind,
                                  intptr_t stream, int skip) {
  (void)kind;
  (void)skip;
  DO(cuMemcpyAsync((uint64_t)target, (uint64_t)source, bytes, (void *)stream));
}

API PyObject *runtime_memset(intptr_t target, int value, size_t bytes, int skip) {
  (void)skip;
  DO(cuMemsetD8_v2((uint64_t)target, (uint8_t)value, bytes));
}

API PyObject *runtime_memsetAsync(intptr_t target, int value, size_t bytes, intptr_t stream,
                                  int skip) {
  (void)skip;
  DO(cuMemsetD8Async((uint64_t)target, (uint8_t)value, bytes, (void *)stream));
}

/* ---- Streams ----------------------------------------------------------------- */

API intptr_t runtime_streamCreateWithPriority(unsigned flags, int priority, int skip) {
  (void)skip;
  GIVE(intptr_t, made, 0, cuStreamCreateWithPriority((void **)&made, flags, priority));
}

API intptr_t runtime_streamCreateWithFlags(unsigned flags, int skip) {
  return runtime_streamCreateWithPriority(flags, 0, skip);
}

API intptr_t runtime_streamCreate(int skip) { return runtime_streamCreateWithFlags(0, skip); }

API PyObject *runtime_streamDestroy(intptr_t stream, int skip) {
  (void)skip;
  DO(cuStreamDestroy_v2((void *)stream));
}

API PyObject *runtime_streamSynchronize(intptr_t stream, int skip) {
  (void)skip;
  DO(cuStreamSynchronize((void *)stream));
}

API PyObject *runtime_streamQuery(intptr_t stream, int skip) {
  (void)skip;
  int status = have_context();
  return number_or_error(status ? status : cuStreamQuery((void *)stream));
}

API unsigned runtime_streamGetFlags(intptr_t stream, int skip) {
  (void)skip;
  GIVE(unsigned, flags, 0, cuStreamGetFlags((void *)stream, &flags));
}

API int runtime_streamGetPriority(intptr_t stream, int skip) {
  (void)skip;
  GIVE(int, priority, 0, cuStreamGetPriority((void *)stream, &priority));
}

typedef struct flags_given {
  int count; /* of those that were given */
  unsigned flags;
} flags_given;

API PyObject *runtime_streamWaitEvent(intptr_t stream, intptr_t event, int skip,
                                      const flags_given *given) {
  (void)skip;
  DO(cuStreamWaitEvent((void *)stream, (void *)event, given && given->count ? given->flags : 0));
}

API int runtime_streamIsCapturing(intptr_t stream, int skip) {
  (void)skip;
  GIVE(int, state, -1, cuStreamIsCapturing((void *)stream, &state));
}

typedef struct mode_given {
  int count;
  int mode;
} mode_given;

API PyObject *runtime_streamBeginCapture(intptr_t stream, int skip, const mode_given *given) {
  (void)skip;
  DO(cuStreamBeginCapture_v2((void *)stream, given && given->count ? given->mode : RELAXED));
}

API intptr_t runtime_streamEndCapture(intptr_t stream, int skip) {
  (void)skip;
  GIVE(intptr_t, graph, 0, cuStreamEndCapture((void *)stream, (void **)&graph));
}

API intptr_t runtime_graphInstantiate(intptr_t graph, int skip) {
  (void)skip;
  GIVE(intptr_t, made, 0, cuGraphInstantiateWithFlags((void **)&made, (void *)graph, 0));
}

API PyObject *runtime_graphLaunch(intptr_t executable, intptr_t stream, int skip) {
  (void)skip;
  DO(cuGraphLaunch((void *)executable, (void *)stream));
}

API PyObject *runtime_graphDestroy(intptr_t graph, int skip) {
  (void)skip;
  DO(cuGraphDestroy((void *)graph));
}

API PyObject *runtime_graphExecDestroy(intptr_t executable, int skip) {
  (void)skip;
  DO(cuGraphExecDestroy((void *)executable));
}

/* ---- Events ------------------------------------------------------------------ */

API intptr_t runtime_eventCreateWithFlags(unsigned flags, int skip) {
  (void)skip;
  GIVE(intptr_t, made, 0, cuEventCreate((void **)&made, flags));
}

API intptr_t runtime_eventCreate(int skip) { return runtime_eventCreateWithFlags(0, skip); }

API PyObject *runtime_eventDestroy(intptr_t event, int skip) {
  (void)skip;
  DO(cuEventDestroy_v2((void *)event));
}

API PyObject *runtime_eventRecord(intptr_t event, intptr_t stream, int skip) {
  (void)skip;
  DO(cuEventRecord((void *)event, (void *)stream));
}

API PyObject *runtime_eventSynchronize(intptr_t event, int skip) {
  (void)skip;
  DO(cuEventSynchronize((void *)event));
}

API PyObject *runtime_eventQuery(intptr_t event, int skip) {
  (void)skip;
  int status = have_context();
  return number_or_error(status ? status : cuEventQuery((void *)event));
}

API float runtime_eventElapsedTime(intptr_t start, intptr_t end, int skip) {
  (void)skip;
  GIVE(float, milliseconds, 0, cuEventElapsedTime_v2(&milliseconds, (void *)start, (void *)end));
}
