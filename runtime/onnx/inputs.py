"""The model's inputs: which extents are dynamic, and what to try for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import ModelError
from runtime.graph import Extent
from runtime.onnx.handlers.casts import element_type

__all__ = ["Declared", "declared_inputs", "example_shapes"]

ANONYMOUS = ("", "?", "-1", "None", "unknown")
"""Names of dynamic extents that don't say which are the same."""

PROFILES: tuple[tuple[int, int, int, int], ...] = (
    (640, 640, 128, 3), (48, 320, 64, 3), (224, 224, 32, 3), (48, 192, 16, 1), (64, 320, 512, 1),
    (32, 32, 8, 3), (28, 28, 256, 1), (1, 1, 1, 1),
)  # fmt: skip
"""What to try for dynamic extents: an image's height and width, a sequence's length, channels."""

FIRST_BATCH = 1
LARGEST_EXTENT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Declared:
    """An input of the model.

    Parameters
    ----------
    name, dtype
        As the model has them.
    shape
        Numbers, and names of dynamic extents.
    """

    name: str
    dtype: str
    shape: tuple[Extent, ...]


def declared_inputs(
    graph: Any, constants: Mapping[str, Any], shapes: Mapping[str, Sequence[Extent]]
) -> list[Declared]:
    """Return the inputs that aren't constants.

    Parameters
    ----------
    graph
        ONNX's GraphProto.
    constants
        Names that have values already.
    shapes
        Name → extents that take the place of the model's.

    Raises
    ------
    ModelError
        If an input isn't a tensor, its rank is unknown, or `shapes` doesn't fit.
    """
    names = [i.name for i in graph.input if i.name not in constants]
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise ModelError(f"shapes: the model has no input {unknown}; its inputs: {names}")
    return [_declared(i, shapes.get(i.name)) for i in graph.input if i.name not in constants]


def _declared(info: Any, given: Sequence[Extent] | None) -> Declared:
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ModelError(f"input {info.name!r}: expected a tensor, got {kind or 'no type'}")
    tensor = info.type.tensor_type
    try:
        dtype = element_type(tensor.elem_type)
    except ModelError as error:
        raise ModelError(f"input {info.name!r}: {error}") from error
    own = None
    if tensor.HasField("shape"):
        own = tuple(_extent(info.name, axis, d) for axis, d in enumerate(tensor.shape.dim))
    if given is None and own is None:
        raise ModelError(
            f"input {info.name!r}: the model doesn't say its rank: give it by "
            f"shapes={{{info.name!r}: (…)}}"
        )
    return Declared(info.name, dtype, _merged(info.name, own, given))


def _extent(name: str, axis: int, dimension: Any) -> Extent:
    value = dimension.dim_value
    if dimension.HasField("dim_value") and value >= 0:
        if value > LARGEST_EXTENT:
            raise ModelError(
                f"input {name!r}: axis {axis}: expected at most {LARGEST_EXTENT}, got {value}"
            )
        return int(value)
    symbol = dimension.dim_param
    return f"{name}.{axis}" if symbol in ANONYMOUS else str(symbol)


def _merged(
    name: str, own: tuple[Extent, ...] | None, given: Sequence[Extent] | None
) -> tuple[Extent, ...]:
    """Put the caller's extents in the place of the model's dynamic ones."""
    if given is None:
        return own or ()
    shape = tuple(given)
    ok = all(
        isinstance(e, (int, str)) and (isinstance(e, str) or 0 <= e <= LARGEST_EXTENT)
        for e in shape
    )
    fits = own is None or (
        len(own) == len(shape)
        and all(isinstance(o, str) or o == e for o, e in zip(own, shape, strict=True))
    )
    if not ok or not fits:
        raise ModelError(f"shapes: {name}: expected what fits {own}, got {shape}")
    return shape


def example_shapes(
    inputs: Sequence[Declared], examples: Mapping[str, Sequence[int]]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Give, one after the other, shapes that the model may work with.

    Parameters
    ----------
    inputs
        What the model declares.
    examples
        Name → shape that the caller knows to work.
    """
    bound: dict[str, int] = {}
    for declared in inputs:
        shape = examples.get(declared.name)
        if shape is None:
            continue
        if len(shape) != len(declared.shape):
            raise ModelError(
                f"examples: {declared.name}: expected {len(declared.shape)} extents, got {shape}"
            )
        for extent, got in zip(declared.shape, shape, strict=True):
            wanted = bound.setdefault(extent, got) if isinstance(extent, str) else extent
            if wanted != got:
                raise ModelError(
                    f"examples: {declared.name}: expected what fits {declared.shape}, got {shape}"
                )
    tried: list[dict[str, int]] = []
    for profile in PROFILES:
        values = dict(bound)
        for declared in inputs:
            for axis, extent in enumerate(declared.shape):
                if isinstance(extent, str):
                    values.setdefault(extent, _guess(len(declared.shape), axis, profile))
        if values in tried:
            continue
        tried.append(values)
        yield {
            i.name: tuple(values[e] if isinstance(e, str) else e for e in i.shape) for i in inputs
        }


def _guess(rank: int, axis: int, profile: tuple[int, int, int, int]) -> int:
    height, width, length, channels = profile
    if axis == 0 and rank > 1:
        return FIRST_BATCH
    if rank == 4:
        return (channels, height, width)[axis - 1]
    return length
