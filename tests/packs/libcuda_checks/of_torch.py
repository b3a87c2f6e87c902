"""The pack on PyTorch's tensors and streams."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.packs.cuda_for_tests import torch_on_driver
from tests.packs.libcuda_checks.common import (
    calls,
    check,
    raises,
    with_cupy,
    with_kernels,
)


@check
def torchs_tensors_are_served() -> None:
    import dispatch
    import runtime
    from dispatch.errors import InvalidArgument

    torch = torch_on_driver()
    with_cupy()
    with_kernels()
    host = np.random.default_rng(5).uniform(-1, 1, 1000).astype(np.float32)
    x = torch.from_numpy(host).cuda()

    def negated(y: Any, of: Any = host) -> None:
        assert type(y) is torch.Tensor and y.is_cuda
        np.testing.assert_array_equal(y.cpu().numpy(), -of)

    negated(dispatch.neg(x))
    negated(dispatch.neg(x, out=torch.empty_like(x)))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        negated(dispatch.neg(x))
        assert place_of(x).memory.queue_of(x).stream == stream.cuda_stream
    replay = runtime.trace(lambda x: dispatch.neg(dispatch.neg(dispatch.neg(x))), host)
    bound = replay.compile(device="nvidia").bind(x)
    for number in (1, 2):
        x.copy_(torch.full((1000,), number, dtype=torch.float32))
        negated(bound(), np.full(1000, number, np.float32))
    assert calls("cuGraphLaunch") == 2
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = dispatch.neg(x)
    x.copy_(torch.from_numpy(host))
    graph.replay()
    negated(y)
    with_gradients = torch.zeros(3, device="cuda", requires_grad=True)
    raises(InvalidArgument, "x.detach()", lambda: dispatch.neg(with_gradients))


def place_of(array: Any) -> Any:
    from dispatch.memory import place_of

    return place_of(array)


@check
def torchs_kinds_of_tensors_are_known() -> None:
    import dispatch

    torch = torch_on_driver()
    cupy = with_cupy()
    for name in ("float16", "bfloat16", "float64", "int8", "uint8", "int32", "int64", "bool"):
        x = torch.empty((4, 6), dtype=getattr(torch, name), device="cuda")
        y = dispatch.transpose(x, (1, 0))
        assert y.dtype is x.dtype and y.shape == (6, 4), name
    images = torch.empty((2, 3, 8, 8), device="cuda").to(memory_format=torch.channels_last)
    assert dispatch.conv2d(images, torch.empty((4, 3, 3, 3), device="cuda")).shape == (2, 4, 6, 6)
    x = torch.empty((8, 8), device="cuda")
    for view in (x[::2, 1:], x.t(), x[:0], x[3, 3], torch.nn.Parameter(x, requires_grad=False)):
        assert dispatch.relu(view).shape == view.shape
    assert type(dispatch.add(x, cupy.asarray(np.ones((8, 8), np.float32)))) is torch.Tensor
    assert type(dispatch.relu(torch.from_numpy(np.ones(3, np.float32)))) is torch.Tensor


@check
def torchs_memory_may_end() -> None:
    import dispatch
    from dispatch.errors import OutOfMemory

    torch = torch_on_driver()
    with_cupy()
    x, held = torch.empty((1 << 18,), device="cuda"), []

    def fill_it() -> None:
        while True:
            held.append(dispatch.relu(x))

    raises(OutOfMemory, "CUDA: no memory for float32 (262144,)", fill_it)
    held.clear()
    assert dispatch.relu(x).shape == x.shape
