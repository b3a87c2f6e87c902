"""Tensors, attributes and tables as a person types and reads them."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import InvalidArgument
from dispatch.quantization import make_quantization
from dispatch.tensor import ANY, LAYOUT_BLOCKS, TensorSpec

__all__ = ["parse_attribute", "parse_tensor", "print_table"]

_TENSOR = re.compile(
    r"([a-z]+[0-9]*)\[([0-9, ]*)\](?::([A-Za-z0-9]+))?(?:\{([^{},]+),(-?[0-9]+)\})?(!?)"
)
_LONG_NAMES = {short: name for name, short in SHORT_NAMES.items()}


def parse_tensor(text: str) -> TensorSpec:
    """Read a tensor as `TensorSpec` prints it.

    ``f32[1,64,56,56]``; ``:nhwc`` where the layout is another, ``{0.05,128}`` with a scale and a
    zero point, ``!`` for a constant.

    Raises
    ------
    InvalidArgument
        If the text is something else.
    """
    match = _TENSOR.fullmatch(text.strip())
    dtype = match and (_LONG_NAMES.get(match[1]) or (match[1] if match[1] in SHORT_NAMES else None))
    if match is None or dtype is None:
        raise InvalidArgument(
            f"tensor: expected a dtype and extents as in f32[1,64,56,56] ('!' at the end: "
            f"constant), got {text!r}"
        )
    layout = match[3] or "nchw"
    if layout != ANY and layout not in LAYOUT_BLOCKS:
        raise InvalidArgument(
            f"tensor: expected a layout of {', '.join(LAYOUT_BLOCKS)} or {ANY}, got {layout!r}"
        )
    shape = tuple(int(extent) for extent in match[2].split(",") if extent.strip())
    quantization = None
    if match[4] is not None:
        scale, zero_point = parse_attribute(match[4]), int(match[5])
        quantization = make_quantization(f"tensor {text}", scale, zero_point, None, dtype, shape)
    return TensorSpec(dtype, shape, layout, bool(match[6]), quantization)


def parse_attribute(text: str) -> Any:
    """Read an attribute's value: a number, numbers with commas between, True, False or a word."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table: to a terminal within its width, elsewhere each row as one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if console.is_terminal:
        console.print(table)
        return
    for line in Console(width=UNLIMITED).render_lines(table, pad=False):
        text = "".join(segment.text for segment in line).rstrip()
        console.print(text, markup=False, highlight=False, soft_wrap=True)


UNLIMITED = 1_000_000
"""More columns than any table has."""
