"""The demonstration: rectangles, boxes from a map, the eager road, and the whole of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from bench.demo.detection import connected, find_boxes, match_boxes, network_input
from bench.demo.eager import eager_function
from bench.demo.geometry import area, convex_hull, enlarged, least_rectangle, overlap, sides
from bench.standard_models import packaged_model


def rectangle(x: float, y: float, wide: float, high: float, degrees: float = 0.0) -> Any:
    """Return a rectangle around (x, y), its corners from the top left on."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) / 2
    return corners @ turn + (x, y)


def test_hull_and_area() -> None:
    points = np.array([(0, 0), (4, 0), (4, 3), (0, 3), (2, 1), (1, 2), (4, 0)])
    hull = convex_hull(points)
    assert len(hull) == 4
    assert area(hull) == 12


@pytest.mark.parametrize("degrees", [0, 5, -20, 40])
def test_least_rectangle(degrees: float) -> None:
    wanted = rectangle(50, 40, 60, 12, degrees)
    rng = np.random.default_rng(0)
    inner = np.array([wanted[0] + u * (wanted[1] - wanted[0]) + v * (wanted[3] - wanted[0])
                      for u, v in rng.random((200, 2))])  # fmt: skip
    found = least_rectangle(np.concatenate((wanted, inner)))
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert sides(found) == pytest.approx((60, 12))
    assert sides(enlarged(found, 3)) == pytest.approx((66, 18))


def test_overlap() -> None:
    a = rectangle(10, 10, 10, 10)
    assert overlap(a, a) == pytest.approx(1)
    assert overlap(a, rectangle(15, 10, 10, 10)) == pytest.approx(50 / 150)
    assert overlap(a, rectangle(30, 10, 10, 10)) == 0
    assert overlap(a, rectangle(10, 10, 4, 4, 30)) == pytest.approx(0.16)
    assert overlap(a, a[::-1]) == pytest.approx(1)


def test_connected_areas() -> None:
    mask = np.array([[1, 0, 1, 0, 0], [1, 0, 1, 0, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0],
                     [1, 1, 0, 1, 1]], bool)  # fmt: skip
    labels, count = connected(mask)
    assert count == 4
    assert labels[0, 0] == labels[0, 2] == labels[2, 1]
    assert len({int(labels[0, 0]), int(labels[1, 4]), int(labels[4, 0]), int(labels[4, 3])}) == 4
    assert np.array_equal(labels > 0, mask)
    assert connected(np.zeros((3, 4), bool))[1] == 0


def test_connected_areas_of_random_masks() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = rng.random((13, 17)) < 0.4
        labels, count = connected(mask)
        assert count == _areas(mask)
        assert len(np.unique(labels[mask])) == count


def _areas(mask: Any) -> int:
    """Count the areas by filling them."""
    left = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True))
    count = 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge += near
    return count


def test_boxes_of_a_map() -> None:
    rows, columns = np.mgrid[0:120, 0:200]
    heat = np.zeros((120, 200), np.float32)
    heat[20:30, 20:120] = 0.9
    heat[60:63, 30:33] = 0.9  # too small
    heat[100:110, 20:80] = 0.4  # too unsure
    u = (columns - 130) * math.cos(0.3) + (rows - 80) * math.sin(0.3)
    v = -(columns - 130) * math.sin(0.3) + (rows - 80) * math.cos(0.3)
    heat[(abs(u) <= 40) & (abs(v) <= 6)] = 0.8
    boxes = find_boxes(heat)
    assert len(boxes) == 2
    core = rectangle(70, 25, 100, 10)
    distance = 1000 * 1.7 / 220
    np.testing.assert_allclose(boxes[0], enlarged(core, distance))
    drawn = (rectangle(130, 80, 98, 30, math.degrees(0.3)), enlarged(core, distance))
    matches = match_boxes(drawn, boxes)
    assert [match.box for match in matches] == [1, 0]
    assert matches[0].overlap > 0.85
    assert match_boxes((rectangle(500, 500, 4, 4),), boxes)[0].box is None


def test_network_input() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[..., 0] = 255
    x = network_input(pixels)
    assert x.shape == (1, 3, 2, 3)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x[0, 2], (1 - 0.406) / 0.225, rtol=1e-6)


def test_the_eager_road_gives_what_the_replay_gives() -> None:
    w = np.random.default_rng(0).random((4, 3, 3, 3), np.float32)

    x = np.random.default_rng(1).random((1, 3, 5, 5), np.float32)

    def simple(x: Any) -> Any:
        y = dispatch.conv2d(x, w, pads=1, activation="relu")
        a, b = dispatch.split(y, 2, 1)
        return dispatch.add(a, b), dispatch.reshape(y, (0, -1))

    trace = runtime.trace(simple, x)
    wanted = trace.compile()(x)
    for got, want in zip(eager_function(trace.graph, {"x": x})(), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.slow
def test_the_whole_demonstration(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("PIL")
    if packaged_model("ppocr_det") is None:
        pytest.skip("rapidocr-onnxruntime isn't installed")
    picture, trace = tmp_path / "found.png", tmp_path / "trace.safetensors"
    line = [sys.executable, "-m", "bench.demo", "--json", "--seconds", "0.1", "--threads", "1",
            "--output", str(picture), "--trace", str(trace)]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["right"] is True
    assert [road["name"] for road in facts["engines"]] == ["eager", "replay", "onnxruntime"]
    assert all(road["difference"] <= facts["allowed_difference"] for road in facts["engines"])
    assert facts["kernels"]
    assert picture.stat().st_size < 200_000
    assert runtime.load(trace).graph.inputs[0].name == "x"
