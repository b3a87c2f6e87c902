"""Sampled images: what the conformance kit doesn't ask."""

from __future__ import annotations

import numpy as np
import pytest

import dispatch


def identity(height: int, width: int, aligned: bool) -> np.ndarray:
    """Return the grid whose places are the image's own pixels."""
    axes = [
        np.linspace(-1, 1, n) if aligned and n > 1 else (2 * np.arange(n) + 1) / n - 1
        for n in (height, width)
    ]
    down, across = np.meshgrid(*axes, indexing="ij")
    return np.stack([across, down], -1)[None]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_an_images_own_places_give_the_image(mode: str, padding_mode: str, aligned: bool) -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 17, 19))
    grid = identity(17, 19, aligned)
    y = dispatch.grid_sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=aligned)
    np.testing.assert_allclose(y, x, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    ("padding_mode", "aligned", "padding"),
    [
        ("zeros", True, {"mode": "constant"}),
        ("border", False, {"mode": "edge"}),
        ("reflection", False, {"mode": "symmetric"}),
        ("reflection", True, {"mode": "reflect"}),
    ],
)
def test_padding_is_a_larger_image(
    mode: str, padding_mode: str, aligned: bool, padding: dict[str, str]
) -> None:
    """Whole pixels beyond the edge, up to three times the image away."""
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 4))
    wide = np.pad(x, ((0, 0), (0, 0), (12, 12), (12, 12)), **padding)
    pixels = np.arange(-12, 17), np.arange(-12, 16)
    extents = (5, 4)
    axes = [
        2 * at / (n - 1) - 1 if aligned else (2 * at + 1) / n - 1
        for at, n in zip(pixels, extents, strict=True)
    ]
    down, across = np.meshgrid(*axes, indexing="ij")
    grid = np.stack([across, down], -1)[None]
    y = dispatch.grid_sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=aligned)
    np.testing.assert_allclose(y, wide, atol=1e-9)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_places_far_out_read_nothing_else(mode: str, dtype: str) -> None:
    largest = float(np.finfo(dtype).max)
    far = np.array([np.nan, np.inf, -np.inf, largest, -largest, 2.0**31, -(2.0**31)], dtype)
    grid = np.stack(np.meshgrid(far, far), -1)[None]
    x = np.full((1, 1, 3, 2), 7, dtype)
    for padding_mode, value in (("zeros", 0), ("border", 7), ("reflection", 7)):
        y = dispatch.grid_sample(x, grid, mode=mode, padding_mode=padding_mode)
        np.testing.assert_allclose(y, value, rtol=1e-6)


def test_many_places_of_each_kind_together() -> None:
    """More places than are found at once, within the image and beside it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 9, 7))
    grid = rng.uniform(-0.8, 0.8, (2, 1, 1000, 2))
    grid[:, :, 300:310] = 3.0
    y = dispatch.grid_sample(x, grid)
    assert (y[..., 300:310] == 0).all()
    for first in (0, 250, 310, 999):
        part = dispatch.grid_sample(x, np.ascontiguousarray(grid[:, :, first : first + 7]))
        np.testing.assert_allclose(y[..., first : first + 7], part, rtol=1e-12, atol=1e-14)
