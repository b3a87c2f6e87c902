"""The portable pack at a level, or a skip that says why this processor can't run it."""

import pytest

from dispatch.errors import PackUnavailable
from dispatch.native import NativeOpenPack
from kernels.portable import pack

__all__ = ["opened"]


def opened(level: str) -> NativeOpenPack:
    try:
        return pack.open({"level": level})
    except PackUnavailable as error:
        pytest.skip(str(error))
