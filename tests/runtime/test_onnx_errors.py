"""Models that can't be imported: each gives a clear `ModelError`, none a crash."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtime
from dispatch.errors import DispatchError

onnx = pytest.importorskip("onnx")

FLOAT = onnx.TensorProto.FLOAT


def info(name: str, shape: tuple[Any, ...] | None = (2, 3), kind: int = FLOAT) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def make(nodes: list[Any], weights: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return a model that takes x and gives y."""
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        options.pop("inputs", [info("x")]),
        options.pop("outputs", [info("y", None)]),
        [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()],
    )
    opsets = [onnx.helper.make_opsetid("", options.pop("opset", 17))]
    return onnx.helper.make_model(graph, opset_imports=opsets, **options)


def node(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs, outputs, **attributes)


def small_model() -> Any:
    w = np.linspace(-1, 1, 3 * 4, dtype=np.float32).reshape(3, 4)
    return make(
        [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"], name="last")], {"w": w}
    )


def external_model(location: str, **entries: str) -> Any:
    """Return a model whose weights lie in another file."""
    model = small_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model


def weights_bytes() -> bytes:
    return bytes(small_model().graph.initializer[0].raw_data)


def test_unknown_operators_are_all_named() -> None:
    model = make(
        [
            node("Det", ["x"], ["a"], name="first"),
            node("RoiAlign", ["a", "x"], ["b", ""], name="second"),
            node("RoiAlign", ["b", "x"], ["c", ""], name="third"),
            onnx.helper.make_node("Fused", ["c"], ["y"], name="fourth", domain="com.example"),
        ]
    )
    with pytest.raises(runtime.ModelError) as error:
        runtime.from_onnx(model)
    text = str(error.value)
    assert "Det (1 node: 'first')" in text
    assert "RoiAlign (2 nodes: 'second', 'third')" in text
    assert "com.example::Fused (1 node: 'fourth')" in text


def test_nodes_that_no_output_needs_are_left_out() -> None:
    model = make([node("Det", ["x"], ["a"]), node("Relu", ["x"], ["y"])])
    assert [n.operator for n in runtime.from_onnx(model).graph.nodes] == ["relu"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Relu", ["missing"], ["y"])], "'missing' isn't there"),
        ([node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])],
         "a cycle"),
        ([node("Relu", ["x"], ["z"])], "'y' isn't there"),
        ([node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])], "made twice"),
        ([node("Relu", [], ["y"])], "at least 1 inputs"),
        ([node("Concat", ["x"], ["a"]), node("Softmax", ["x"], ["y"], axis=7)], "axis"),
        ([node("Transpose", ["x"], ["y"], perm=[0, 0])], "permutation"),
        ([node("Conv", ["x", "x"], ["y"])], "1 or 2 spatial dimensions"),
        ([node("Reshape", ["x", "x"], ["y"])], "follows from the"),
        ([node("Cast", ["x"], ["y"], to=8)], "STRING isn't served"),
        ([node("Flatten", ["x"], ["y"], axis=-9)], "axis: expected from -2 to 2"),
        ([node("Constant", [], ["y"])], "as the value"),
        ([node("LeakyRelu", ["x"], ["y"], alpha=[1.0])], "alpha"),
    ],
)  # fmt: skip
def test_damaged_graphs(nodes: list[Any], message: str) -> None:
    with pytest.raises(runtime.ModelError, match=message):
        runtime.from_onnx(make(nodes))


def test_huge_constants_are_refused() -> None:
    nodes = [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"])]
    shape = np.array([2**30, 2**30], np.int64)
    model = make(nodes, {"s": shape})
    with pytest.raises(runtime.ModelError, match="ConstantOfShape"):
        runtime.from_onnx(model)
    shape = np.array([2**15, 2**16], np.int64)  # 8 GiB: could be counted, but not held
    model = make(nodes, {"s": shape})
    with pytest.raises(runtime.ModelError, match="at most"):
        runtime.from_onnx(model)
    limits = {"a": np.int64(0), "b": np.int64(2**60), "c": np.int64(1)}
    with pytest.raises(runtime.ModelError, match="at most"):
        runtime.from_onnx(make([node("Range", ["a", "b", "c"], ["y"])], limits))


def test_functions_without_end() -> None:
    model = make([onnx.helper.make_node("F", ["x"], ["y"], domain="own")])
    body = [onnx.helper.make_node("F", ["a"], ["b"], domain="own")]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]
    model.functions.append(onnx.helper.make_function("own", "F", ["a"], ["b"], body, opsets))
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    with pytest.raises(runtime.ModelError, match="functions within functions"):
        runtime.from_onnx(model)


@pytest.mark.parametrize("version", [1, 6, 10_000])
def test_operator_sets(version: int) -> None:
    with pytest.raises(runtime.ModelError, match="operator set"):
        runtime.from_onnx(make([node("Relu", ["x"], ["y"])], opset=version))


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000), b"\xff" * 64, b"\x08\x08"])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(runtime.ModelError, match="not an ONNX model"):
        runtime.from_onnx(content)
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(runtime.ModelError, match=r"model\.onnx"):
        runtime.from_onnx(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        runtime.from_onnx(tmp_path / "none.onnx")


def test_other_arguments() -> None:
    with pytest.raises(runtime.ModelError, match="expected a path"):
        runtime.from_onnx(17)


def test_truncated_files() -> None:
    content = small_model().SerializeToString()
    for length in range(0, len(content), 3):
        with pytest.raises(runtime.ModelError):
            runtime.from_onnx(content[:length])


def test_flipped_bits() -> None:
    content = bytearray(small_model().SerializeToString())
    errors = 0
    for position in range(len(content)):
        for bit in (0, 3, 7):
            content[position] ^= 1 << bit
            try:
                runtime.from_onnx(bytes(content))
            except DispatchError:
                errors += 1
            content[position] ^= 1 << bit
    assert errors > len(content) // 2


@pytest.mark.parametrize(
    "change",
    [
        {"dims": [5, 5]},
        {"dims": [-3, 4]},
        {"dims": [2**62, 2**62]},
        {"dims": [2**33, 1]},
        {"data_type": 99},
        {"data_type": 0},
        {"raw_data": b"abc"},
    ],
)
def test_damaged_weights(change: dict[str, Any]) -> None:
    model = small_model()
    tensor = model.graph.initializer[0]
    for name, value in change.items():
        if name == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, name, value)
    with pytest.raises(runtime.ModelError):
        runtime.from_onnx(model)


def test_weights_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8) + weights_bytes())
    model = external_model("w.bin", offset="8", length=str(len(weights_bytes())))
    onnx.save(model, tmp_path / "model.onnx")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (got,) = runtime.from_onnx(tmp_path / "model.onnx").compile()(x)
    (want,) = runtime.from_onnx(small_model()).compile()(x)
    assert np.array_equal(got, want)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../w.bin", "within the model's folder"),
        ("/etc/passwd", "within the model's folder"),
        ("link/w.bin", "within the model's folder"),
        ("link.bin", "within the model's folder"),
        ("", "within the model's folder"),
        ("w\0.bin", "within the model's folder"),
        ("absent.bin", "no such file"),
        (".", "no such file"),
    ],
)
def test_weights_outside_of_the_folder(tmp_path: Path, location: str, message: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(weights_bytes())
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    model = external_model(location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(runtime.ModelError, match=message):
        runtime.from_onnx(folder / "model.onnx")


@pytest.mark.parametrize(
    "entries",
    [{"offset": "40"}, {"length": "7"}, {"offset": "-1"}, {"offset": "x"}, {"offset": "9" * 40}],
)
def test_weights_beyond_their_file(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "w.bin").write_bytes(weights_bytes())
    (tmp_path / "model.onnx").write_bytes(external_model("w.bin", **entries).SerializeToString())
    with pytest.raises(runtime.ModelError, match="expected"):
        runtime.from_onnx(tmp_path / "model.onnx")


def test_weights_elsewhere_need_a_path() -> None:
    with pytest.raises(runtime.ModelError, match="give the model's path"):
        runtime.from_onnx(external_model("w.bin"))


def test_inputs() -> None:
    relu = [node("Relu", ["x"], ["y"])]
    with pytest.raises(runtime.ModelError, match="doesn't say its rank"):
        runtime.from_onnx(make(relu, inputs=[info("x", None)]))
    with pytest.raises(runtime.ModelError, match="element type"):
        runtime.from_onnx(make(relu, inputs=[info("x", (2,), onnx.TensorProto.STRING)]))
    sequence = onnx.helper.make_tensor_sequence_value_info("x", FLOAT, None)
    with pytest.raises(runtime.ModelError, match="expected a tensor"):
        runtime.from_onnx(make(relu, inputs=[sequence]))
    model = make(relu, inputs=[info("x", ("n", 3))])
    with pytest.raises(runtime.ModelError, match="no input"):
        runtime.from_onnx(model, shapes={"z": (1,)})
    with pytest.raises(runtime.ModelError, match="fits"):
        runtime.from_onnx(model, shapes={"x": (1, 4)})
    with pytest.raises(runtime.ModelError, match="fits"):
        runtime.from_onnx(model, examples={"x": (1, 4)})
    with pytest.raises(runtime.ModelError, match="no input"):
        runtime.from_onnx(model, constants={"z": 1})


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(runtime.ModelError, match=r"pip install 'kernel-dispatch\[onnx\]'"):
        runtime.from_onnx(os.devnull)
