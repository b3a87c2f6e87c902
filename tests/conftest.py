"""What all tests share."""

from __future__ import annotations

import linecache
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_generated_code() -> Iterator[None]:
    """Forget the code that libraries generated during a test.

    Without its cache pyopencl generates functions for each kernel object, and looks for a name for
    them through those of all before: with ten thousand the tests would do little else.
    """
    yield
    linecache.clearcache()
