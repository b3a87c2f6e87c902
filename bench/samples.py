"""What models are calibrated on: pictures for those that read, noise for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.demo.detection import network_input
from bench.demo.picture import draw_picture
from dispatch.operator import Array

__all__ = ["samples_of"]

READERS = frozenset({"ppocr_det", "ppocr_rec", "ppocr_cls"})
"""Models whose input is a part of a picture with text."""

SEED = 23


def samples_of(
    model: str, inputs: Sequence[tuple[str, str, tuple[int, ...]]], count: int
) -> Iterator[dict[str, Array]]:
    """Yield inputs that a model may be calibrated on, the same in every run.

    Parameters
    ----------
    model
        Its name.
    inputs
        Each input's name, dtype and shape.
    count
        How many samples.

    Raises
    ------
    MissingExtra
        If a picture is wanted and Pillow isn't installed.
    """
    rng = np.random.default_rng(SEED)
    pixels = draw_picture().pixels if model in READERS else None
    for _ in range(count):
        yield {
            name: (
                (rng.random(shape, np.float32) * 2 - 1).astype(dtype)
                if pixels is None
                else _part(pixels, shape, rng)
            )
            for name, dtype, shape in inputs
        }


def _part(pixels: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return random parts of a picture; what lies outside of it is a copy of its edge."""
    images, _, height, width = shape
    missing = [
        (0, max(0, want - have))
        for want, have in zip((height, width), pixels.shape[:2], strict=True)
    ]
    whole = np.pad(pixels, (*missing, (0, 0)), mode="edge")
    rows, columns = (
        int(have - want) for have, want in zip(whole.shape, (height, width), strict=False)
    )
    parts = []
    for _ in range(images):
        top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
        parts.append(network_input(whole[top : top + height, left : left + width]))
    return np.concatenate(parts)
