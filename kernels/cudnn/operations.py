"""The operators that cuDNN's frontend has for us, each as a graph of a consistent problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from dispatch.answer import No, NoCode
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import TensorSpec
from kernels.cudnn.graph import ALWAYS, Builder, Graph, Tensor, image_strides, notes_of
from kernels.cudnn.products import product_of

__all__ = ["OPERATIONS", "Describe"]

Describe: TypeAlias = Callable[[Problem], Graph | No]


def conv2d(problem: Problem) -> Graph | No:
    """Return the graph of a convolution: cuDNN finds the groups by the filters' channels."""
    attributes: dict[str, Any] = dict(problem.attributes)
    return _convolution(problem, "conv_fprop", ("image", "weight"), attributes)


def conv_transpose2d(problem: Problem) -> Graph | No:
    """Return the graph of the gradient of a convolution by its input."""
    attributes: dict[str, Any] = dict(problem.attributes)
    extra, strides = attributes["output_padding"], attributes["strides"]
    if any(e >= s for e, s in zip(extra, strides, strict=True)):
        return No(NoCode.ATTRIBUTE, "output_padding", f"< strides {strides}", str(extra))
    return _convolution(problem, "conv_dgrad", ("loss", "filter"), attributes)


def _convolution(
    problem: Problem, operation: str, names: tuple[str, str], attributes: Mapping[str, Any]
) -> Graph | No:
    build, (y,) = Builder(problem), problem.outputs
    output = Tensor(y.shape, image_strides(y), y.dtype, len(problem.inputs))
    operands = {}
    for index, name in enumerate(names):
        spec = problem.inputs[index]
        assert spec is not None
        operands[name] = build.argument(index, spec.shape, image_strides(spec))
    top, left, bottom, right = attributes["pads"]
    value = build.node(
        operation,
        output,
        operands,
        pre_padding=(top, left),
        post_padding=(bottom, right),
        stride=attributes["strides"],
        dilation=attributes["dilations"],
    )
    # The residual comes before the bias: in this order alone the engines for nchw know it.
    steps = problem.epilogue
    if steps and steps[0].name == "add":
        added = build.epilogue(steps[:1], value, output)
        assert isinstance(added, int)
        value, steps = added, steps[1:]
    if problem.inputs[2] is not None:
        bias = build.argument(2, (1, y.shape[1], 1, 1))
        value = build.node("bias", output, {"input": value, "bias": bias})
    return _finished(build, steps, value, output)


def product(problem: Problem) -> Graph | No:
    """Return the graph of products of matrices, whose batches become one axis."""
    found = product_of(problem)
    if isinstance(found, No):
        return found
    if found.alpha != 1.0:
        return No(NoCode.ATTRIBUTE, "alpha", "1", str(found.alpha))
    (y,), build = problem.outputs, Builder(problem)
    rows, inner, columns = found.rows, found.inner, found.columns
    shape = (found.batch, rows, columns)
    output = Tensor(shape, (rows * columns, columns, 1), y.dtype, len(problem.inputs))
    of_a, of_b = found.batches
    operands = {
        "A": build.argument(0, (of_a, rows, inner), _matrix(rows, inner, found.transpose_a)),
        "B": build.argument(1, (of_b, inner, columns), _matrix(inner, columns, found.transpose_b)),
    }
    value = build.node("matmul", output, operands)
    if problem.inputs[2] is not None:
        value = build.node("add", output, {"a": value, "b": build.argument(2, (1, 1, columns))})
    return _finished(build, problem.epilogue, value, output)


def _matrix(rows: int, columns: int, transposed: bool) -> tuple[int, int, int]:
    return (rows * columns, 1, rows) if transposed else (rows * columns, columns, 1)


def layer_norm(problem: Problem) -> Graph | No:
    """Return the graph of a layer normalisation, whose last axes are cuDNN's channels."""
    x, _, bias = problem.inputs
    assert x is not None
    if bias is None:
        return No(NoCode.ATTRIBUTE, "bias", "an array", "none")
    axis, epsilon = (problem.attribute(name) for name in ("axis", "epsilon"))
    assert isinstance(axis, int) and isinstance(epsilon, float | int)
    rows, count = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
    build = Builder(problem)
    output = Tensor((rows, count, 1, 1), (count, 1, count, count), x.dtype, len(problem.inputs))
    operands = {"input": build.argument(0, output.shape, output.strides)}
    for index, name in ((1, "scale"), (2, "bias")):
        operands[name] = build.argument(index, (1, count, 1, 1), output.strides)
    operands["epsilon"] = build.number(epsilon, 4)
    value = build.node("layernorm", output, operands, norm_forward_phase="INFERENCE")
    return build.finish(value, output, ALWAYS)


def batch_norm(problem: Problem) -> Graph | No:
    """Return the graph of a normalisation by given statistics: elementwise operations alone."""
    x = problem.inputs[0]
    assert x is not None
    epsilon = problem.attribute("epsilon")
    assert isinstance(epsilon, float | int)
    build, output = Builder(problem), _channels(x, len(problem.inputs))
    given = build.argument(0, output.shape, output.strides)
    column = Tensor((1, x.shape[1], 1, 1), (x.shape[1], 1, 1, 1), "float32")
    scale, bias, mean, variance = (
        build.argument(index, column.shape, column.strides) for index in range(1, 5)
    )
    sum_ = build.node("add", column, {"a": variance, "b": build.number(epsilon, 4)})
    root = build.node("rsqrt", column, {"input": sum_})
    factor = build.node("mul", column, {"a": root, "b": scale})
    centred = build.node("sub", output, {"a": given, "b": mean})
    scaled = build.node("mul", output, {"a": centred, "b": factor})
    value = build.node("add", output, {"a": scaled, "b": bias})
    ended = build.epilogue(problem.epilogue, value, output)
    return ended if isinstance(ended, No) else build.finish(ended, output, ALWAYS)


def _channels(x: TensorSpec, argument: int) -> Tensor:
    """Return a tensor of any rank as an image, the axes behind the channels joined."""
    if x.rank == 4:
        return Tensor(x.shape, image_strides(x), x.dtype, argument)
    batch, channels = x.shape[:2]
    pixels = math.prod(x.shape[2:])
    return Tensor(
        (batch, channels, pixels, 1), (channels * pixels, pixels, 1, 1), x.dtype, argument
    )


def _finished(
    build: Builder, steps: tuple[EpilogueStep, ...], value: int, output: Tensor
) -> Graph | No:
    ended = build.epilogue(steps, value, output)
    return ended if isinstance(ended, No) else build.finish(ended, output, notes_of(build.problem))


OPERATIONS: Mapping[str, Describe] = {
    "batch_norm": batch_norm,
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "layer_norm": layer_norm,
    "linear": product,
    "matmul": product,
}
"""What cuDNN is asked for. Its Python interface has no pools, and no graph of it is a softmax
outside attention: those are `kernels.gpu`'s."""
