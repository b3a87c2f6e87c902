/*
 * unsupported.c: what libraries are linked with, but isn't here; a call of one is noted.
 */
#include "libcuda.h"

#define UNSUPPORTED(NAME)       \
  API CUresult NAME(void) {     \
    ENTER_ALWAYS;               \
    note("unsupported", #NAME); \
    return NOT_SUPPORTED;       \
  }

/* libcudnn_engines_runtime_compiled.so is linked with these. */
UNSUPPORTED(cuCtxGetLimit)
UNSUPPORTED(cuCtxPopCurrent)
UNSUPPORTED(cuCtxPushCurrent)
UNSUPPORTED(cuDevicePrimaryCtxRelease)
UNSUPPORTED(cuDevicePrimaryCtxReset)
UNSUPPORTED(cuLinkAddData_v2)
UNSUPPORTED(cuLinkAddFile_v2)
UNSUPPORTED(cuLinkComplete)
UNSUPPORTED(cuLinkCreate_v2)
UNSUPPORTED(cuLinkDestroy)
UNSUPPORTED(cuTensorMapEncodeIm2col)
UNSUPPORTED(cuTensorMapEncodeTiled)

/* cuDNN complains of what it doesn't find by these names. */
UNSUPPORTED(cuKernelGetAttribute)
UNSUPPORTED(cuKernelSetAttribute)
UNSUPPORTED(cuLaunchCooperativeKernel)
UNSUPPORTED(cuLibraryLoadFromFile)
UNSUPPORTED(cuLinkAddData)
UNSUPPORTED(cuLinkCreate)
UNSUPPORTED(cuOccupancyMaxPotentialClusterSize)
