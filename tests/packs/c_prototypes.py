"""C functions' parameters as NVIDIA's headers declare them, and ctypes arguments held to them.

ctypes passes what it is given: a Python int as 32 bits, whatever the function takes. So the fakes
of the libraries refuse what C would have read otherwise. `tests/packs/test_cudnn_headers.py` holds
these declarations to the headers themselves, where they are installed.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

__all__ = ["PROTOTYPES", "check_call"]

_DECLARED = """
cuCtxGetCurrent(CUcontext *pctx)
cuCtxPopCurrent_v2(CUcontext *pctx)
cuCtxPushCurrent_v2(CUcontext ctx)
cuDeviceGetAttribute(int *pi, CUdevice_attribute attrib, CUdevice dev)
cuDeviceGetCount(int *count)
cuDeviceGetName(char *name, int len, CUdevice dev)
cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
cuDriverGetVersion(int *driverVersion)
cuEventCreate(CUevent *phEvent, unsigned int Flags)
cuEventDestroy_v2(CUevent hEvent)
cuEventElapsedTime(float *pMilliseconds, CUevent hStart, CUevent hEnd)
cuEventRecord(CUevent hEvent, CUstream hStream)
cuEventSynchronize(CUevent hEvent)
cuGetErrorString(CUresult error, const char **pStr)
cuGraphDestroy(CUgraph hGraph)
cuGraphExecDestroy(CUgraphExec hGraphExec)
cuGraphInstantiateWithFlags(CUgraphExec *phGraphExec, CUgraph hGraph, unsigned long long flags)
cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream)
cuInit(unsigned int Flags)
cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, \
unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ, \
unsigned int sharedMemBytes, CUstream hStream, void **kernelParams, void **extra)
cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, \
CUstream hStream)
cuMemcpyDtoH_v2(void *dstHost, CUdeviceptr srcDevice, size_t ByteCount)
cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount, \
CUstream hStream)
cuModuleGetFunction(CUfunction *hfunc, CUmodule hmod, const char *name)
cuModuleLoadData(CUmodule *module, const void *image)
cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode)
cuStreamEndCapture(CUstream hStream, CUgraph *phGraph)
cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus *captureStatus)
cuStreamSynchronize(CUstream hStream)
cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags)
cublasCreate_v2(cublasHandle_t* handle)
cublasGemmStridedBatchedEx_64(cublasHandle_t handle, cublasOperation_t transa, \
cublasOperation_t transb, int64_t m, int64_t n, int64_t k, const void* alpha, const void* A, \
cudaDataType Atype, int64_t lda, long long int strideA, const void* B, cudaDataType Btype, \
int64_t ldb, long long int strideB, const void* beta, void* C, cudaDataType Ctype, int64_t ldc, \
long long int strideC, int64_t batchCount, cublasComputeType_t computeType, cublasGemmAlgo_t algo)
cublasGetProperty(libraryPropertyType type, int* value)
cublasGetStatusString(cublasStatus_t status)
cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
cublasSetStream_v2(cublasHandle_t handle, cudaStream_t streamId)
cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t workspaceSizeInBytes)
"""
PROTOTYPES: dict[str, tuple[str, ...]] = {
    line.partition("(")[0]: tuple(
        part.strip() for part in line.partition("(")[2].rstrip(")").split(",")
    )
    for line in _DECLARED.strip().splitlines()
}
"""By a function's exported name, each parameter's declaration."""

_HANDLES = (
    "CUcontext",
    "CUevent",
    "CUfunction",
    "CUgraph",
    "CUgraphExec",
    "CUmodule",
    "CUstream",
    "cublasHandle_t",
    "cudaStream_t",
)
"""Pointers by another name."""
_WIDE = ("CUdeviceptr", "int64_t", "long long int", "size_t", "unsigned long long")
_BY_REFERENCE = type(ctypes.byref(ctypes.c_int()))
_POINTERS = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.Array,
    ctypes._Pointer,
    _BY_REFERENCE,
    bytes,
    type(None),
)
_WORDS = (ctypes.c_uint64, ctypes.c_int64, ctypes.c_size_t)


def check_call(function: str, arguments: tuple[Any, ...]) -> None:
    """Hold arguments to a function's declaration."""
    declared = PROTOTYPES.get(function)
    assert declared is not None, f"{function} isn't among the declarations"
    assert len(arguments) == len(declared), f"{function}: {len(arguments)} of {len(declared)}"
    for position, (parameter, argument) in enumerate(zip(declared, arguments, strict=True)):
        what = f"{function}, argument {position}, {parameter}: {argument!r}"
        kind = re.sub(r"\s*\w+$", "", parameter)
        if kind.endswith("*") or kind in _HANDLES:
            assert isinstance(argument, _POINTERS), what
        elif kind in _WIDE:
            assert isinstance(argument, _WORDS), what
        else:
            assert isinstance(argument, int | ctypes.c_int | ctypes.c_uint), what
            number = argument if isinstance(argument, int) else argument.value
            assert -(2**31) <= number < (2**31 if "int" not in kind else 2**32), what
