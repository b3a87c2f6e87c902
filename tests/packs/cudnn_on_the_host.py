"""The fakes of cuda_fakes.py made to compute, in the host's memory and by NumPy.

What the pack asks for is carried out as its documentation reads: cuBLAS's products of matrices by
columns, cuDNN's graphs by their nodes and strides, launches of map.h, reorder.h and transposition.h
by their struct. So the pack's own arithmetic is held to the float64 references: layouts, strides,
transpositions, what is left for a launch, scratch. Of NVIDIA's libraries it says nothing.
"""

from __future__ import annotations

import ctypes
import re
import weakref

import numpy as np

from dispatch.dtypes import SHORT_NAMES, numpy_dtype
from dispatch.operators import operators
from kernels.cudnn.blas import _COMPUTE, _TYPES
from tests.packs.cuda_fakes import CuPyArray, FakeBlas, FakeCuPy, FakeDriver, FakeFrontend, value

_LONG = {short: name for name, short in SHORT_NAMES.items()}
_BLAS_TYPES = {number: name for name, number in _TYPES.items()}
ALIGNMENT = 512


def at(address, dtype, shape, strides):
    """Return an array of memory; strides in elements."""
    kind = numpy_dtype(dtype)
    size = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    flat = np.frombuffer((ctypes.c_char * (size * kind.itemsize)).from_address(address), kind)
    return np.lib.stride_tricks.as_strided(flat, shape, [s * kind.itemsize for s in strides])


_allocations = weakref.WeakSet()


def live():
    """Return all allocations that there are."""
    return list(_allocations)


class HostMemory:
    """An allocation, poisoned."""

    def __init__(self, size):
        self.size = size
        self.bytes = np.full(size + ALIGNMENT, 0xAB, np.uint8)
        start = self.bytes.ctypes.data
        self.ptr = start + -start % ALIGNMENT
        _allocations.add(self)


class HostArray(CuPyArray):
    """An array of such memory."""

    __module__ = "cupy.fake"

    def __init__(self, shape, dtype):
        super().__init__(shape, dtype)
        self.data = HostMemory(max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1))
        self.data.device_id = 0

    @property
    def values(self):
        """A view of its elements, which keeps their memory."""
        dtype, memory = np.dtype(self.dtype), self.data.bytes
        start = self.data.ptr - memory.ctypes.data
        size = int(np.prod(self.shape)) * dtype.itemsize
        return memory[start : start + size].view(dtype).reshape(self.shape)


def on_device(values):
    """Return an array with the values."""
    array = HostArray(values.shape, values.dtype)
    array.values[...] = values
    return array


class HostCuPy(FakeCuPy):
    """Memory that can be read."""

    def __init__(self):
        super().__init__()
        self.module.cuda.alloc = HostMemory
        self.module.empty = HostArray


class HostDriver(FakeDriver):
    """Copies, and launches of map.h; an A100, to which cuBLAS is given less memory.

    What is enqueued while a stream is recorded waits on a tape, until its graph is launched.
    """

    def __init__(self):
        super().__init__()
        self.tape, self.tapes = [], {}

    def do(self, work):
        """Do what was enqueued, now or when the graph is launched."""
        if self.recording is None:
            work()
        else:
            self.tape.append(work)

    def _cuStreamBeginCapture_v2(self, stream, mode):
        super()._cuStreamBeginCapture_v2(stream, mode)
        self.tape = []

    def _keep(self, recorded):
        handle = super()._keep(recorded)
        self.tapes[handle] = self.tape
        return handle

    def _cuGraphLaunch(self, executable, stream):
        super()._cuGraphLaunch(executable, stream)
        for work in self.tapes[value(executable)]:
            work()

    def _cuMemcpyDtoDAsync_v2(self, target, source, size, stream):
        self.do(lambda: ctypes.memmove(value(target), value(source), value(size)))

    def _cuDeviceGetAttribute(self, number, attribute, index):
        super()._cuDeviceGetAttribute(number, attribute, index)
        if attribute == 75:
            number._obj.value = 8

    def _cuMemcpyHtoDAsync_v2(self, target, source, size, stream):
        ctypes.memmove(value(target), value(source), value(size))

    def _cuMemcpyDtoH_v2(self, target, source, size):
        ctypes.memmove(value(target), value(source), value(size))

    def _cuLaunchKernel(self, *arguments):
        super()._cuLaunchKernel(*arguments)
        launched = self.launches[-1]
        compute = next((f for mark, f in _SOURCES.items() if mark in launched.module), None)
        assert compute, "no source but these is read here"
        self.do(compute(launched))


_FUNCTIONS = {
    "relu_of": lambda x: np.where(x < 0, 0, x),
    "sigmoid_of": lambda x: 1 / (1 + np.exp(-x)),
    "tanh_of": np.tanh,
    "silu_of": lambda x: x / (1 + np.exp(-x)),
    "hard_swish_of": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_of": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "clip_of": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "leaky_relu_of": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "elu_of": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
    "gelu_of": lambda x: _apply("gelu", x, approximate="none"),
    "gelu_tanh_of": lambda x: _apply("gelu", x, approximate="tanh"),
    "linear_of": lambda x, alpha, beta: alpha * x + beta,
}


def _apply(name, x, **attributes):
    return operators()[name].reference([x], attributes)[0]


def _defines(launch):
    return dict(re.findall(r"^#define (\w+) (.*)$", launch.module.decode(), re.MULTILINE))


def _reorder(launch):
    """Return what brings an image from nchw (blocks of 1) to nhwc (0), or back, as reorder.h."""
    defines, names = _defines(launch), ("count", "channels", "pixels", "x_block", "y_block")
    kind = np.dtype([(name, np.int32) for name in names])
    count, channels, pixels, *blocks = np.frombuffer(launch.parameters(kind.itemsize), kind)[
        0
    ].item()
    assert sorted(blocks) == [0, 1]
    assert launch.grid[0] * launch.block[0] >= count
    shape = (count // channels // pixels, channels, pixels)
    strides = {1: (channels * pixels, pixels, 1), 0: (channels * pixels, 1, channels)}
    x, y = (
        at(address, _LONG[defines[f"TYPE_{letter}"]], shape, strides[block])
        for address, letter, block in zip(launch.addresses, "AY", blocks, strict=True)
    )

    def compute():
        y[...] = x

    return compute


def _map(launch):
    """Return what computes as map.h does, by the macros and the struct that it is launched with."""
    defines = _defines(launch)
    operands, rank = int(defines["OPERANDS"]), int(defines["RANK"])
    real = np.dtype(np.float64 if defines["COMPUTED"] == "f64" else np.float32)
    tensors = operands + 1
    kind = np.dtype(
        [
            ("numbers", real, 2),
            ("count", np.int32),
            ("extents", np.int32, rank),
            ("offsets", np.int32, tensors),
            ("strides", np.int32, (tensors, rank)),
        ]
    )
    p = np.frombuffer(launch.parameters(kind.itemsize), kind)[0]
    assert p["count"] == np.prod(p["extents"]) and not p["offsets"].any()
    assert launch.grid[0] * launch.block[0] >= p["count"]
    names = [_LONG[defines[f"TYPE_{letter}"]] for letter in ("A", "B", "C")[:operands]]
    *inputs, y = (
        at(address, dtype, tuple(p["extents"]), tuple(strides))
        for address, dtype, strides in zip(
            launch.addresses, [*names, _LONG[defines["TYPE_Y"]]], p["strides"], strict=True
        )
    )
    alpha, beta = p["numbers"]

    def compute():
        given = {letter: x.astype(real) for letter, x in zip("abc", inputs, strict=False)}
        names = {**_FUNCTIONS, **given, "alpha": alpha, "beta": beta}
        with np.errstate(all="ignore"):
            y[...] = eval(defines["EXPRESSION"], names).astype(y.dtype)

    return compute


def _transposition(launch):
    """Return what moves elements by tiles, as transposition.h."""
    defines, rank = _defines(launch), 4
    names = ("rows", "columns", "row_step", "column_step")
    fields = [*((name, np.int32) for name in names)]
    fields += [(name, np.int32, rank) for name in ("extents", "x_strides", "y_strides")]
    kind = np.dtype([*fields, ("offsets", np.int32, 2)])
    p = np.frombuffer(launch.parameters(kind.itemsize), kind)[0]
    assert int(defines["RANK"]) == rank and not p["offsets"].any()
    shape = (*p["extents"], p["rows"], p["columns"])
    tiles = np.prod(p["extents"]) * -(-p["rows"] // 32) * -(-p["columns"] // 32)
    assert launch.grid[0] == tiles
    strides = (
        (*p["x_strides"], p["row_step"], 1),
        (*p["y_strides"], 1, p["column_step"]),
    )
    x, y = (
        at(address, _LONG[defines[f"TYPE_{letter}"]], shape, steps)
        for address, letter, steps in zip(launch.addresses, "AY", strides, strict=True)
    )

    def compute():
        y[...] = x

    return compute


_SOURCES = {
    b"EXPRESSION": _map,
    b"void reorder(": _reorder,
    b"void transposition(": _transposition,
}


class HostBlas(FakeBlas):
    """Products of matrices by columns."""

    def __init__(self, driver):
        super().__init__()
        self.driver = driver

    def __getattr__(self, name):
        call = super().__getattr__(name)

        def compute(*arguments):
            status = call(*arguments)
            if name == "cublasGemmStridedBatchedEx_64" and not status:
                plain = [value(getattr(a, "_obj", a)) for a in arguments]
                self.driver.do(lambda: _gemm(*plain))
            return status

        return compute


def _gemm(handle, op_a, op_b, m, n, k, alpha, *rest):
    """Compute C = alpha * op(A) @ op(B) as cublasGemmStridedBatchedEx takes its arguments."""
    a, type_a, lda, stride_a, b, type_b, ldb, stride_b, beta, c, type_c, ldc, stride_c, *how = rest
    batch, compute, algorithm = how
    assert compute in _COMPUTE.values() and algorithm == -1 and beta == 0

    def matrices(address, kind, rows, columns, leading, stride, transposed):
        assert leading >= rows
        found = at(address, _BLAS_TYPES[kind], (batch, rows, columns), (stride, 1, leading))
        return found.swapaxes(1, 2) if transposed else found

    left = matrices(a, type_a, *((k, m) if op_a else (m, k)), lda, stride_a, op_a)
    right = matrices(b, type_b, *((n, k) if op_b else (k, n)), ldb, stride_b, op_b)
    result = matrices(c, type_c, m, n, ldc, stride_c, 0)
    with np.errstate(all="ignore"):
        wide = left.astype(np.float64) @ right.astype(np.float64)
        result[...] = (alpha * wide).astype(result.dtype)


class HostFrontend(FakeFrontend):
    """Graphs of nodes, evaluated in float64."""

    def __init__(self, driver):
        super().__init__()
        graphs, outer = [], self

        class Tensor:
            def __init__(self, **given):
                self.given = given

            def __getattr__(self, name):
                def set_(value):
                    self.given[name.removeprefix("set_")] = value
                    return self

                return set_

        class Graph:
            def __init__(self, **_):
                self.tensors, self.nodes = [], []

            def tensor(self, **given):
                self.tensors.append(Tensor(**given))
                return self.tensors[-1]

            def __getattr__(self, name):
                def add(**given):
                    if name not in _NODES:
                        raise AttributeError(name)
                    result = Tensor()
                    self.tensors.append(result)
                    self.nodes.append((name, given, result))
                    return result

                return add

            def validate(self):
                pass

            def build_operation_graph(self):
                pass

            def create_execution_plans(self, modes):
                pass

            def deselect_numeric_notes(self, notes):
                pass

            def check_support(self):
                if outer.refused_operations & {name for name, _, _ in self.nodes}:
                    raise RuntimeError("No valid engine configs")

            def get_execution_plan_count(self):
                return outer.engines

            def build_plan_at_index(self, index):
                pass

            def get_workspace_size_plan_at_index(self, index):
                return 100 * index

            def serialize(self):
                graphs.append(self)
                return len(graphs).to_bytes(4, "little")

            def deserialize(self, handle, data):
                self.loaded = graphs[int.from_bytes(bytes(data), "little") - 1]

            def execute(self, pack, workspace, handle=None):
                driver.do(lambda: self.loaded.compute(pack))

            def compute(self, pack):
                values = {
                    id(t): self._memory(t, pack).astype(np.float64)
                    for t in self.tensors
                    if t.given["uid"] in pack and not any(t is r for _, _, r in self.nodes)
                }
                for name, given, result in self.nodes:
                    known = {
                        key: values[id(x)] if isinstance(x, Tensor) else x
                        for key, x in given.items()
                    }
                    with np.errstate(all="ignore"):
                        found = _NODES[name](shape=tuple(result.given["dim"]), **known)
                    values[id(result)] = found
                    if result.given["output"]:
                        target = self._memory(result, pack)
                        target[...] = found.astype(target.dtype)

            def _memory(self, tensor, pack):
                given = tensor.given
                dtype = {"FLOAT": "float32", "HALF": "float16"}.get(given["data_type"], "bfloat16")
                return at(pack[given["uid"]], dtype, given["dim"], given["stride"])

        self.module.pygraph = Graph


def _conv_fprop(image, weight, pre_padding, post_padding, stride, dilation, shape):
    groups = image.shape[1] // weight.shape[1]
    attributes = {
        "strides": tuple(stride),
        "pads": (*pre_padding, *post_padding),
        "dilations": tuple(dilation),
        "groups": groups,
    }
    (y,) = operators()["conv2d"].reference([image, weight, None], attributes)
    assert y.shape == shape
    return y


def _conv_dgrad(loss, pre_padding, post_padding, stride, dilation, shape, **given):
    """Return the image whose convolution's gradient `loss` is; each tap gives its part."""
    filters = given["filter"]
    batch, channels, height, width = shape
    groups = channels // filters.shape[1]
    (top, left), (bottom, right) = pre_padding, post_padding
    padded = np.zeros(
        (batch, groups, filters.shape[1], height + top + bottom, width + left + right)
    )
    losses = loss.reshape(batch, groups, -1, *loss.shape[2:])
    taps = filters.reshape(groups, -1, *filters.shape[1:])
    rows, columns = loss.shape[2:]
    for i in range(filters.shape[2]):
        for j in range(filters.shape[3]):
            part = np.einsum("bgorc,goi->bgirc", losses, taps[..., i, j])
            y, x = i * dilation[0], j * dilation[1]
            padded[
                ...,
                y : y + stride[0] * (rows - 1) + 1 : stride[0],
                x : x + stride[1] * (columns - 1) + 1 : stride[1],
            ] += part
    return padded[..., top : top + height, left : left + width].reshape(shape)


def _layernorm(scale, bias, epsilon, norm_forward_phase, shape, **given):
    assert norm_forward_phase == "INFERENCE"
    centred = given["input"] - given["input"].mean(1, keepdims=True)
    variance = (centred**2).mean(1, keepdims=True)
    return centred / np.sqrt(variance + epsilon) * scale + bias


def _unary(function):
    def node(shape, **given):
        return np.broadcast_to(function(given.pop("input"), **given), shape)

    return node


def _binary(function):
    return lambda a, b, shape: np.broadcast_to(function(a, b), shape)


def _relu(x, lower_clip=0.0, upper_clip=np.inf):
    return np.minimum(np.maximum(x, lower_clip), upper_clip)


_NODES = {
    "conv_fprop": _conv_fprop,
    "conv_dgrad": _conv_dgrad,
    "layernorm": _layernorm,
    "matmul": lambda shape, **factors: factors["A"] @ factors["B"],
    "bias": lambda shape, bias, **given: given["input"] + bias,
    "add": _binary(np.add),
    "sub": _binary(np.subtract),
    "mul": _binary(np.multiply),
    "rsqrt": _unary(lambda x: 1 / np.sqrt(x)),
    "relu": _unary(_relu),
    "sigmoid": _unary(_FUNCTIONS["sigmoid_of"]),
    "tanh": _unary(np.tanh),
    "swish": _unary(lambda x, swish_beta: x / (1 + np.exp(-swish_beta * x))),
    "leaky_relu": _unary(lambda x, negative_slope: np.where(x >= 0, x, negative_slope * x)),
    "elu": _unary(lambda x: np.where(x > 0, x, np.expm1(x))),
    "gelu": _unary(_FUNCTIONS["gelu_of"]),
    "gelu_approx_tanh": _unary(_FUNCTIONS["gelu_tanh_of"]),
}
