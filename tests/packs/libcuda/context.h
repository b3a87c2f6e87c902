/*
 * context.h: which device a thread's calls are for, as NVIDIA's runtime keeps it.
 */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "driver_api.h"

enum { INVALID_DEVICE = 101, MOST_DEVICES = 8, RUNTIME_VERSION = 13000, MEMORY_TYPE = 2 };

/** Make a device's primary context the current one. */
static int make_current(int device) {
  static void *contexts[MOST_DEVICES];
  int status = cuInit(0);
  if (status) return status;
  if (device < 0 || device >= MOST_DEVICES) return INVALID_DEVICE;
  if (contexts[device] == NULL) status = cuDevicePrimaryCtxRetain(&contexts[device], device);
  return status ? status : cuCtxSetCurrent(contexts[device]);
}

/** As the runtime does: the first call of a thread is for the first device. */
static int have_context(void) {
  void *context = NULL;
  int status = cuInit(0);
  if (status == 0) status = cuCtxGetCurrent(&context);
  if (status) return status;
  return context ? 0 : make_current(0);
}

#endif
