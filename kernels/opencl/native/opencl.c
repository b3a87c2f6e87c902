#include "opencl.h"

#include <dlfcn.h>
#include <string.h>

#include "fail.h"

static void *open_library(const char *path, const char **tried) {
  static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so"};
  *tried = path ? path : names[0];
  if (path) return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library) return library;
  }
  return NULL;
}

static int find(void *library, const char *name, void *place) {
  void *function = dlsym(library, name);
  memcpy(place, &function, sizeof function);
  return function != NULL;
}

kp_status opencl_load(const char *path, opencl_functions *functions, kp_error *error) {
  const char *tried;
  void *library = open_library(path, &tried);
  if (!library)
    return fail(error, KP_UNAVAILABLE, "no OpenCL loader: %.300s can't be loaded (%.150s)", tried,
                dlerror());
#define FIND(RESULT, NAME, ARGUMENTS)                                      \
  if (!find(library, "cl" #NAME, &functions->NAME)) {                      \
    dlclose(library);                                                      \
    return fail(error, KP_WRONG_VERSION, "%.300s has no cl" #NAME, tried); \
  }
  OPENCL_FUNCTIONS(FIND)
#undef FIND
  return KP_OK;
}

static kp_status kind_of(cl_int status) {
  switch (status) {
    case CL_SUCCESS:
      return KP_OK;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_RESOURCES:
    case CL_OUT_OF_HOST_MEMORY:
    case CL_INVALID_BUFFER_SIZE:
      return KP_OUT_OF_MEMORY;
    case CL_MISALIGNED_SUB_BUFFER_OFFSET:
      return KP_INVALID_ARGUMENT;
    default:
      return KP_LIBRARY_FAILED;
  }
}

kp_status opencl_check(cl_int status, const char *what, kp_error *error) {
  if (status == CL_SUCCESS) return KP_OK;
  return fail(error, kind_of(status), "%.200s: OpenCL status %d", what, (int)status);
}
