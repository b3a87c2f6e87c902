"""Rectangles at any angle: around points, larger, and how far two are the same."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from dispatch.operator import Array

__all__ = ["Quad", "area", "convex_hull", "enlarged", "least_rectangle", "overlap", "sides"]

Quad: TypeAlias = Array
"""Corners (x, y) of a convex quadrilateral in order, shape (4, 2)."""


def area(polygon: Array) -> float:
    """Return a polygon's area; positive where its corners go clockwise on the screen."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def sides(box: Quad) -> tuple[float, float]:
    """Return a rectangle's width and height."""
    return float(np.hypot(*(box[1] - box[0]))), float(np.hypot(*(box[2] - box[1])))


def convex_hull(points: Array) -> Array:
    """Return the corners of the smallest convex polygon around points, clockwise on the screen."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered
    halves = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[Array] = []
        for point in sequence:
            while len(chain) >= 2 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        halves.append(chain[:-1])
    return np.array(halves[0] + halves[1])


def _turn(a: Array, b: Array, c: Array) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def least_rectangle(points: Array) -> Quad:
    """Return the rectangle of least area around points, its corners from the top left on.

    One of its sides lies along one of the convex hull's.
    """
    hull = convex_hull(points).astype(float)
    if len(hull) < 3:
        low, high = hull.min(0), hull.max(0)
        return np.array([low, (high[0], low[1]), high, (low[0], high[1])])
    edges = np.roll(hull, -1, 0) - hull
    along = edges / np.hypot(edges[:, 0], edges[:, 1])[:, None]
    across = np.stack((-along[:, 1], along[:, 0]), 1)
    u, v = hull @ along.T, hull @ across.T
    spans = (u.max(0) - u.min(0)) * (v.max(0) - v.min(0))
    best = int(np.argmin(spans))
    axes = np.stack((along[best], across[best]))
    (u0, u1), (v0, v1) = ((w[:, best].min(), w[:, best].max()) for w in (u, v))
    corners = np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)]) @ axes
    return _from_top_left(corners)


def _from_top_left(corners: Array) -> Quad:
    """Order a rectangle's corners so that the first side is the text's upper one."""
    if area(corners) < 0:
        corners = corners[::-1]
    across = np.roll(corners, -1, 0) - corners
    # Of the four sides the upper one goes to the right more than any other.
    return np.roll(corners, -int(np.argmax(across[:, 0])), 0)


def enlarged(box: Quad, distance: float) -> Quad:
    """Move each side of a rectangle outwards."""
    wide, high = sides(box)
    along = (box[1] - box[0]) / max(wide, 1e-9) * distance
    down = (box[3] - box[0]) / max(high, 1e-9) * distance
    return np.array([
        box[0] - along - down, box[1] + along - down, box[2] + along + down, box[3] - along + down,
    ])  # fmt: skip


def overlap(a: Quad, b: Quad) -> float:
    """Return the area that two quadrilaterals share over the area that they cover together."""
    shared = a if area(a) > 0 else a[::-1]
    clip = b if area(b) > 0 else b[::-1]
    for start, end in zip(clip, np.roll(clip, -1, 0), strict=True):
        shared = _cut(shared, start, end)
        if len(shared) < 3:
            return 0.0
    common = abs(area(shared))
    return common / (abs(area(a)) + abs(area(b)) - common)


def _cut(polygon: Array, start: Array, end: Array) -> Array:
    """Return what of a polygon lies to the right of a line, seen along it on the screen."""
    kept = []
    depth = [_turn(start, end, point) for point in polygon]
    for i, point in enumerate(polygon):
        j = (i + 1) % len(polygon)
        if depth[i] >= 0:
            kept.append(point)
        if (depth[i] > 0 > depth[j]) or (depth[i] < 0 < depth[j]):
            part = depth[i] / (depth[i] - depth[j])
            kept.append(point + part * (polygon[j] - point))
    return np.array(kept)
