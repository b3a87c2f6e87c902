"""ONNX models become traces: an interpreter that calls the project's operators on traced arrays."""

from __future__ import annotations

from runtime.onnx.importer import from_onnx

__all__ = ["from_onnx"]
