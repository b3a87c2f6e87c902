"""Runs the convolution of blocked images with each buffer beside a page that can't be touched.

A program of its own, which `test_portable` starts: a crash is a fault, and so is another result
than the one of dense images, or one that depends on the number of threads.
"""

from dataclasses import replace

import numpy as np
from guard_pages import guarded

import dispatch
from dispatch.operator import Array
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import TensorSpec
from kernels.portable import pack

EPILOGUES = (
    (),
    (EpilogueStep("relu"),),
    (EpilogueStep("clip", alpha=-0.5, beta=2.0),),
    (EpilogueStep("add", 3), EpilogueStep("relu")),
    (EpilogueStep("sigmoid"),),
)
WINDOWS = (
    # kernel, strides, pads, dilations
    ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((1, 1), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((1, 1), (1, 1), (1, 0, 0, 2), (1, 1)),
    ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    ((3, 3), (2, 2), (0, 0, 1, 1), (1, 1)),
    ((5, 5), (1, 2), (2, 2, 2, 2), (1, 1)),
    ((2, 3), (3, 1), (0, 4, 1, 0), (1, 1)),
    ((3, 3), (1, 1), (2, 3, 2, 3), (2, 3)),
)
CHANNELS = (1, 7, 16, 40)
FILTERS = (1, 8, 16, 24, 33, 48, 64, 80, 100, 144)


def blocked(array: Array, block: int) -> Array:
    """Return an image in blocks of channels, the last one filled up with zeros."""
    n, channels, *size = array.shape
    blocks = -(-channels // block)
    whole = np.zeros((n, blocks * block, *size), array.dtype)
    whole[:, :channels] = array
    split = whole.reshape(n, blocks, block, *size)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 2))


def made(rng: np.random.Generator, number: int, layout: str) -> tuple[Problem, list[Array]]:
    kernel, strides, pads, dilations = WINDOWS[number % len(WINDOWS)]
    channels = CHANNELS[number % len(CHANNELS)]
    filters = FILTERS[int(rng.integers(len(FILTERS)))]
    steps = EPILOGUES[number % len(EPILOGUES)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    least = [max(1, span - pads[i] - pads[i + 2]) for i, span in enumerate(spans)]
    height, width = (int(rng.integers(low, low + 22)) for low in least)
    out = [
        (extent + pads[i] + pads[i + 2] - spans[i]) // strides[i] + 1
        for i, extent in enumerate((height, width))
    ]
    x = TensorSpec("float32", (1 + number % 2, channels, height, width), layout)
    w = TensorSpec("float32", (filters, channels, *kernel), constant=True)
    y = TensorSpec("float32", (x.shape[0], filters, *out), layout)
    bias = TensorSpec("float32", (filters,)) if number % 3 else None
    inputs = (x, w, bias, *([y] if any(s.name == "add" for s in steps) else []))
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "groups": 1}
    problem = Problem(
        "conv2d",
        inputs,
        (y,),
        tuple(sorted(attributes.items())),
        steps,
        num_operator_inputs=3,
        threads=1 + number % 3,
    )
    return problem, [rng.standard_normal(t.shape, np.float32) for t in inputs if t is not None]


def expected(problem: Problem, given: list[Array]) -> Array:
    attributes = {k: v for k, v in problem.attributes if k != "groups"}
    rest = given[2:]
    bias = rest.pop(0) if problem.inputs[2] is not None else None
    with dispatch.using(packs="portable", threads=1, precision="highest"):
        y = dispatch.conv2d(given[0], given[1], bias, **attributes)
    for step in problem.epilogue:
        y = {
            "relu": lambda y: np.maximum(y, 0),
            "clip": lambda y: y.clip(-0.5, 2),
            "add": lambda y: y + rest[0],
            "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
        }[step.name](y)
    return y


def run(problem: Problem, given: list[Array], block: int, at_end: bool) -> Array:
    kernel = next(k for k in pack.open().kernels if k.name == "portable.conv2d.direct.f32")
    x, w, *rest = given
    prepared = kernel.prepare(problem, [None, w, *[None] * (len(problem.inputs) - 2)])
    bias = rest.pop(0) if problem.inputs[2] is not None else None
    residual = [guarded(blocked(r, block), at_end) for r in rest]
    y = guarded(
        np.full_like(blocked(np.zeros(problem.outputs[0].shape, "f4"), block), np.nan), at_end
    )
    prepared.run(
        [
            guarded(blocked(x, block), at_end),
            guarded(prepared.pack(1, w), at_end),
            None if bias is None else guarded(bias, at_end),
            *residual,
            y,
        ]
    )
    return y


def main() -> None:
    rng = np.random.default_rng(0)
    level = pack.open().library_version.rpartition(" ")[2]
    block = 16 if level.startswith("avx512") else 8
    for number in range(20 * len(WINDOWS)):
        problem, given = made(rng, number, f"nChw{block}c")
        print(number, problem, flush=True)
        wanted = blocked(expected(problem, given), block)
        channels = problem.outputs[0].shape[1]
        got = [run(problem, given, block, at_end) for at_end in (False, True)]
        np.testing.assert_allclose(got[0], wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(got[0], got[1])
        np.testing.assert_array_equal(got[0], run(replace(problem, threads=5), given, block, False))
        if channels % block:
            assert not got[0][:, -1, :, :, channels % block :].any(), "the lanes that fill up"
    print("done")


if __name__ == "__main__":
    main()
