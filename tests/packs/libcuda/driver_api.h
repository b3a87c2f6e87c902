/*
 * driver_api.h: functions of libcuda as CUDA's header declares them, with handles as plain
 * pointers.
 */
#ifndef DRIVER_API_H
#define DRIVER_API_H

#include <stddef.h>
#include <stdint.h>

int cuInit(unsigned flags);
int cuDriverGetVersion(int *version);
int cuDeviceGetCount(int *count);
int cuDeviceGetAttribute(int *number, int attribute, int device);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuCtxGetCurrent(void **context);
int cuCtxSetCurrent(void *context);
int cuCtxGetDevice(int *device);
int cuCtxSynchronize(void);
int cuMemAlloc_v2(uint64_t *start, size_t bytes);
int cuMemFree_v2(uint64_t start);
int cuMemHostAlloc(void **start, size_t bytes, unsigned flags);
int cuMemFreeHost(void *start);
int cuMemGetInfo_v2(size_t *unused, size_t *total);
int cuPointerGetAttribute(void *value, int attribute, uint64_t start);
int cuMemcpy(uint64_t target, uint64_t source, size_t bytes);
int cuMemcpyAsync(uint64_t target, uint64_t source, size_t bytes, void *stream);
int cuMemsetD8_v2(uint64_t target, uint8_t value, size_t bytes);
int cuMemsetD8Async(uint64_t target, uint8_t value, size_t bytes, void *stream);
int cuStreamCreateWithPriority(void **made, unsigned flags, int priority);
int cuStreamDestroy_v2(void *stream);
int cuStreamSynchronize(void *stream);
int cuStreamQuery(void *stream);
int cuStreamGetFlags(void *stream, unsigned *flags);
int cuStreamGetPriority(void *stream, int *priority);
int cuStreamWaitEvent(void *stream, void *event, unsigned flags);
int cuStreamIsCapturing(void *stream, int *state);
int cuStreamBeginCapture_v2(void *stream, int mode);
int cuStreamEndCapture(void *stream, void **graph);
int cuGraphInstantiateWithFlags(void **made, void *graph, uint64_t flags);
int cuGraphLaunch(void *executable, void *stream);
int cuGraphDestroy(void *graph);
int cuGraphExecDestroy(void *executable);
int cuEventCreate(void **made, unsigned flags);
int cuEventDestroy_v2(void *event);
int cuEventRecord(void *event, void *stream);
int cuEventSynchronize(void *event);
int cuEventQuery(void *event);
int cuEventElapsedTime_v2(float *milliseconds, void *start, void *end);
int cuCtxGetStreamPriorityRange(int *least, int *greatest);
int cuDeviceGetName(char *name, int size, int device);
int cuDeviceGetPCIBusId(char *text, int size, int device);
int cuDeviceTotalMem_v2(size_t *bytes, int device);
int cuGetErrorName(int status, const char **name);
int cuGetErrorString(int status, const char **text);
int cuGetProcAddress_v2(const char *name, void **found, int version, uint64_t flags, int *status);
int cuGraphGetNodes(void *graph, void **nodes, size_t *count);
int cuThreadExchangeStreamCaptureMode(int *mode);

#endif
