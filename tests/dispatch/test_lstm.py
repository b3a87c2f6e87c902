"""Long short-term memory: what the conformance kit doesn't ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dispatch
from dispatch.errors import InvalidArgument, UnsupportedDtype


def tensors(**others: Any) -> dict[str, Any]:
    """Return 5 steps of 2 sequences of 3 inputs for a hidden size of 4."""
    rng = np.random.default_rng(1)
    shapes = {"x": (5, 2, 3), "w": (1, 16, 3), "r": (1, 16, 4)}
    made = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**made, **others}


def test_a_state_carries_a_sequence_on() -> None:
    whole = tensors()
    y, last_h, last_c = dispatch.lstm(**whole)
    first = dispatch.lstm(**{**whole, "x": whole["x"][:2]})
    second = dispatch.lstm(**{**whole, "x": whole["x"][2:]}, initial_h=first[1], initial_c=first[2])
    np.testing.assert_allclose(np.concatenate([first[0], second[0]]), y, atol=1e-6)
    np.testing.assert_allclose(second[1], last_h, atol=1e-6)
    np.testing.assert_allclose(second[2], last_c, atol=1e-6)


def test_reverse_is_the_turned_sequence() -> None:
    given = tensors()
    y, *last = dispatch.lstm(**given)
    turned, *turned_last = dispatch.lstm(**{**given, "x": given["x"][::-1]}, direction="reverse")
    np.testing.assert_array_equal(turned[::-1], y)
    np.testing.assert_array_equal(turned_last, last)


def test_large_gates_saturate() -> None:
    given = tensors()
    given["x"] = given["x"] * np.float32(1e30)
    for result in dispatch.lstm(**given):
        assert np.isfinite(result).all()
        assert np.abs(result).max() <= 5.0


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "direction": ({"direction": "back"}, InvalidArgument, "direction: expected 'forward' or"),
    "directions": (
        {"direction": "bidirectional"}, InvalidArgument, r"w: expected shape \(2, 16, 3\)"
    ),
    "gates": (
        {"r": np.zeros((1, 12, 4), np.float32)}, InvalidArgument, r"r: expected shape \(1, 16, 4\)"
    ),
    "bias": (
        {"bias": np.zeros((1, 16), np.float32)}, InvalidArgument, r"bias: expected shape \(1, 32\)"
    ),
    "lengths": (
        {"sequence_lens": np.zeros(3, np.int32)}, InvalidArgument, "sequence_lens: expected shape"
    ),
    "lengths of 64 bits": (
        {"sequence_lens": np.zeros(2, np.int64)}, UnsupportedDtype, "sequence_lens: expected dtype"
    ),
    "state": (
        {"initial_c": np.zeros((1, 2, 4))}, UnsupportedDtype, "initial_c: expected dtype float32"
    ),
    "rank": ({"x": np.zeros((5, 3), np.float32)}, InvalidArgument, "x: expected 3 dimensions"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name: str) -> None:
    given, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        dispatch.lstm(**tensors(**given))
