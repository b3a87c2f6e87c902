"""Before and after the text detector: from pixels to its input, from its map to boxes.

The map says for each pixel how likely it belongs to the inner part of a line of
text: each connected area of it is a line's core, which a box somewhat larger
surrounds (differentiable binarisation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.demo.geometry import Quad, area, enlarged, least_rectangle, overlap, sides
from dispatch.operator import Array

__all__ = ["Match", "connected", "find_boxes", "match_boxes", "network_input"]

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Of the pictures that the model was trained on, for blue, green and red as it was fed them."""

LIKELY = 0.3
"""From this probability on a pixel belongs to text."""

SCORE = 0.6
"""Least mean probability of a line's core."""

SMALLEST = 4.0
"""Pixels: the least side of a core."""

UNCLIP = 1.7
"""How much larger than its core a line is: distance = area * UNCLIP / perimeter."""


def network_input(pixels: Array) -> Array:
    """Return a picture (uint8 [H, W, RGB]) as the model takes it: float32 [1, BGR, H, W]."""
    scaled = (pixels[:, :, ::-1].astype(np.float32) / np.float32(255) - MEAN) / DEVIATION
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def connected(mask: Array) -> tuple[Array, int]:
    """Number the connected areas of a mask, diagonal neighbours included.

    Returns
    -------
    labels : array of int64
        0 outside, then 1, 2 …
    count : int
        How many areas there are.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    parents = list(range(len(rows)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    first = np.searchsorted(rows, np.arange(height + 1))
    for row in range(1, height):
        above, last_above = int(first[row - 1]), int(first[row])
        for run in range(int(first[row]), int(first[row + 1])):
            while above < last_above and stops[above] < starts[run]:
                above += 1
            other = above
            while other < last_above and starts[other] <= stops[run]:
                a, b = root(run), root(other)
                parents[max(a, b)] = min(a, b)
                other += 1
    roots = np.array([root(i) for i in range(len(rows))], np.int64)
    numbers = np.unique(roots, return_inverse=True)[1] + 1 if len(roots) else roots
    labels = np.zeros((height, width), np.int64)
    for y, start, stop, number in zip(rows, starts, stops, numbers, strict=True):
        labels[y, start:stop] = number
    return labels, int(numbers.max(initial=0))


def find_boxes(probability: Array) -> list[Quad]:
    """Return the boxes of the lines of text in a map [H, W], from top to bottom."""
    labels, count = connected(probability >= LIKELY)
    boxes = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(labels == number)
        if probability[rows, columns].mean() < SCORE:
            continue
        corners = np.stack((columns, rows), 1)
        # A pixel is a square: its four corners count.
        points = np.concatenate([corners + offset for offset in ((0, 0), (1, 0), (1, 1), (0, 1))])
        core = least_rectangle(points)
        if min(sides(core)) < SMALLEST:
            continue
        boxes.append(enlarged(core, abs(area(core)) * UNCLIP / (2 * sum(sides(core)))))
    return sorted(boxes, key=lambda box: (round(float(box[:, 1].mean()) / 16), float(box[0, 0])))


@dataclass(frozen=True, slots=True)
class Match:
    """A line that was drawn, and the box that was found for it.

    Parameters
    ----------
    box
        The index of the box of the largest overlap, None where none overlaps.
    overlap
        Shared area over covered area.
    """

    box: int | None
    overlap: float


def match_boxes(drawn: tuple[Quad, ...], found: list[Quad]) -> list[Match]:
    """Return for each line that was drawn the box that fits it best, no box twice."""
    pairs = sorted(
        ((overlap(line, box), i, j) for i, line in enumerate(drawn) for j, box in enumerate(found)),
        reverse=True,
    )
    matches: dict[int, Match] = {}
    taken: set[int] = set()
    for value, line, box in pairs:
        if value > 0 and line not in matches and box not in taken:
            matches[line] = Match(box, value)
            taken.add(box)
    return [matches.get(i, Match(None, 0.0)) for i in range(len(drawn))]
