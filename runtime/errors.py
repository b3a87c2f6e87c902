"""Exceptions of the runtime; all derive from `dispatch.DispatchError`."""

from __future__ import annotations

from dispatch.errors import DispatchError

__all__ = ["ArtifactError", "ModelError", "PlanError", "TraceError"]


class TraceError(DispatchError, TypeError):
    """The traced function did what can't be recorded, such as reading a traced value."""


class ModelError(DispatchError, ValueError):
    """A model file is damaged, or holds what can't be imported; everything is named at once."""


class ArtifactError(DispatchError, ValueError):
    """A saved trace is damaged, of another format, or of another version."""


class PlanError(DispatchError, ValueError):
    """A trace can't be planned for the device, or for the shapes of the inputs given."""
