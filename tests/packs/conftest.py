"""Fixtures of the packs' tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """Return the libraries of the pack for NVIDIA GPUs, none of which runs anything."""
    from tests.packs.cudnn_world import World, forget

    forget()
    yield World(monkeypatch, tmp_path)
    forget()


@pytest.fixture
def world(parts, monkeypatch):
    """Return the same, with the pack in the registry."""
    return parts.open(monkeypatch)
