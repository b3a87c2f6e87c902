"""Saved traces: what goes in comes out, and nothing damaged gets in."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dispatch
import runtime
from runtime import _native
from runtime.artifact import FORMAT
from runtime.passes.pipeline import prepare
from runtime.safetensors import read, write

X = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)


def network(x: Any) -> Any:
    y = dispatch.batch_norm(dispatch.conv2d(x, W, pads="same"), *(np.ones(4, np.float32),) * 4)
    y = dispatch.clip(y, -np.inf, 6.0) * 0.5
    return {"y": y, "flat": dispatch.reshape(y, np.stack([runtime.shape_of(y)[0], np.int64(-1)]))}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "trace.safetensors"
    runtime.trace(network, X).save(path)
    return path


def test_a_trace_comes_back(saved: Path) -> None:
    trace = runtime.trace(network, X)
    trace = runtime.Trace(prepare(trace.graph), trace.structure)
    loaded = runtime.load(saved)
    assert loaded.structure == "dict"
    assert loaded.graph.inputs == trace.graph.inputs
    assert loaded.graph.outputs == trace.graph.outputs
    assert loaded.graph.nodes == trace.graph.nodes
    for name, array in trace.graph.constants.items():
        np.testing.assert_array_equal(loaded.graph.constants[name], array)
    expected = trace.compile()(X)
    got = loaded.compile()(X)
    np.testing.assert_array_equal(got["y"], expected["y"])
    np.testing.assert_array_equal(got["flat"], expected["flat"])
    other = np.concatenate([X, X])
    assert loaded.compile()(other)["flat"].shape == (2, 256)


def test_constants_of_every_dtype(tmp_path: Path) -> None:
    arrays = {
        name: np.arange(7).astype(np.dtype(dtype))
        for name, dtype in {
            **{n: n for n in ("float64", "float32", "float16", "int64", "int32", "int16", "int8")},
            **{n: n for n in ("uint64", "uint32", "uint16", "uint8", "bool")},
            "bfloat16": ml_dtypes.bfloat16,
        }.items()
    }
    arrays |= {"empty": np.zeros((0, 3), np.float32), "scalar": np.array(2.5)}
    write(tmp_path / "f", arrays, {"key": "Grüße"})
    tensors, metadata = read(tmp_path / "f")
    assert metadata == {"key": "Grüße"}
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].flags.aligned
        assert not tensors[name].flags.writeable
        np.testing.assert_array_equal(tensors[name], array)


def test_other_readers_take_the_file(saved: Path) -> None:
    from safetensors import safe_open

    with safe_open(saved, "np") as file:
        for name, array in runtime.load(saved).graph.constants.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
        assert json.loads(file.metadata()["trace"])["format"] == FORMAT


def test_saving_replaces_the_file_at_once(saved: Path) -> None:
    before = runtime.load(saved)
    expected = before.compile()(X)["y"]
    runtime.trace(lambda x: x + 1.0, X).save(saved)
    assert len(runtime.load(saved).graph.nodes) == 1
    np.testing.assert_array_equal(before.compile()(X)["y"], expected)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
    with pytest.raises(FileNotFoundError):
        runtime.trace(lambda x: x, X).save(saved.parent / "nowhere" / "f")


def test_plans_go_along(tmp_path: Path) -> None:
    trace = runtime.trace(network, X)
    replay = trace.compile(threads=1)
    path = tmp_path / "f"
    trace.save(path, {"one": replay, "portable": trace.compile(packs="portable")})
    tensors, metadata = read(path)
    plans = json.loads(metadata["plans"])
    assert set(plans) == {"one", "portable"}
    for plan in plans.values():
        for buffer in plan["buffers"]:
            if buffer["kind"] == "constant":
                assert tensors[buffer["name"]].nbytes == buffer["bytes"]
    np.testing.assert_array_equal(runtime.load(path).compile()(X)["y"], replay(X)["y"])
    with pytest.raises(runtime.ArtifactError, match="another"):
        runtime.trace(network, X).save(path, {"one": replay})


def test_a_plan_runs_without_python(tmp_path: Path) -> None:
    from dispatch.native import NativeOpenPack

    tool = Path(_native.__file__).with_name("replay_run")
    pack = next(p.opened for p in dispatch.packs() if p.name == "portable")
    assert isinstance(pack, NativeOpenPack)
    replay = runtime.trace(network, X).compile(packs="portable", threads=1)
    replay.trace.save(tmp_path / "f", {"host": replay})
    (tmp_path / "x.bin").write_bytes(X.tobytes())
    outputs = [option for name in ("y", "flat") for option in ("--output", tmp_path / name)]
    result = subprocess.run(
        [tool, tmp_path / "f", "--pack", pack.path, "--input", tmp_path / "x.bin", *outputs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for name, expected in replay(X).items():
        got = np.fromfile(tmp_path / name, np.float32).reshape(expected.shape)
        np.testing.assert_array_equal(got, expected)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        runtime.load(tmp_path / "nothing")
    for content in (b"", b"short", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000)):
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(runtime.ArtifactError, match="f: "):
            runtime.load(tmp_path / "f")
    write(tmp_path / "f", {"x": X}, {})
    with pytest.raises(runtime.ArtifactError, match="without one"):
        runtime.load(tmp_path / "f")


def load_or_refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        trace = runtime.load(path)
    except runtime.ArtifactError:
        return
    assert trace.graph.outputs


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_flipped_bits(data: Any, saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 3))):
        # Of the tensors' own bytes nothing can be told.
        position = data.draw(st.integers(0, 8 + length - 1))
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    load_or_refuse(saved.with_name("damaged"), bytes(content))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_truncated_and_grown_files(data: Any, saved: Path) -> None:
    content = saved.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    grown = data.draw(st.binary(min_size=1, max_size=9))
    for damaged in (content[:cut], content + grown, content[:cut] + grown):
        if len(damaged) != len(content):
            saved.with_name("damaged").write_bytes(damaged)
            with pytest.raises(runtime.ArtifactError):
                runtime.load(saved.with_name("damaged"))


PIECES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_graphs_with_something_else_in_them(data: Any, saved: Path) -> None:
    tensors, metadata = read(saved)
    graph = json.loads(metadata["trace"])
    place: Any = graph
    while isinstance(place, (dict, list)) and len(place):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(PIECES)
            break
        place = place[key]
    path = saved.with_name("damaged")
    write(path, tensors, {"trace": json.dumps(graph)})
    load_or_refuse(path, path.read_bytes())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda g: g.update(format=99), f"format {FORMAT}, got 99"),
        (lambda g: g["nodes"][0].update(operator="evil"), "no such operator"),
        (lambda g: g["nodes"][0].update(inputs=["nowhere", "x", None]), "no value 'nowhere'"),
        (lambda g: g["nodes"][0].update(inputs=g["nodes"][1]["outputs"] * 3), "no value"),
        (lambda g: g["nodes"].reverse(), "no value"),
        (lambda g: g["nodes"][1].update(outputs=g["nodes"][0]["outputs"]), "made twice"),
        (lambda g: g["nodes"][0]["attributes"].update(color=1), "no attribute 'color'"),
        (lambda g: g["nodes"][0]["attributes"].update(pads=[[[[1]]]]), "deeply"),
        (lambda g: g["nodes"][0].update(epilogue=[["boom", 0, 0]]), "no epilogue step"),
        (lambda g: g["nodes"][0].update(epilogue=[["add", 0, 0]]), "inputs"),
        (lambda g: g.update(outputs=[]), "at least one"),
        (lambda g: g.update(structure="heap"), "structure"),
        (lambda g: g.update(structure="single"), "one output"),
        (lambda g: g["inputs"][0].update(dtype="object"), "dtype"),
        (lambda g: g["inputs"][0].update(example=[1, 3, 2**62, 8]), "extent"),
        (lambda g: g["inputs"][0].update(example=[1, 7, 8, 8]), "channels"),
        (lambda g: g["constants"].update(constant_1="gone"), "gone"),
    ],
)
def test_each_lie_is_named(saved: Path, change: Any, text: str) -> None:
    tensors, metadata = read(saved)
    graph = json.loads(metadata["trace"])
    change(graph)
    write(saved, tensors, {"trace": json.dumps(graph)})
    with pytest.raises(runtime.ArtifactError, match=text):
        runtime.load(saved)
