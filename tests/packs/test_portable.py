"""The portable pack's levels."""

import pytest

from dispatch.errors import PackUnavailable
from dispatch.native import NativeOpenPack
from kernels.portable import pack


def opened(level: str) -> NativeOpenPack:
    try:
        return pack.open({"level": level})
    except PackUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("level", pack.levels)
def test_every_level_lists_the_same_kernels(level: str) -> None:
    generic = [kernel.name for kernel in opened("generic").kernels]
    found = opened(level)
    assert [kernel.name for kernel in found.kernels] == generic
    assert len(set(generic)) == len(generic)
    assert found.library_version.endswith(f"level {level}")


def test_an_unknown_level_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PackUnavailable, match=r"unknown level 'mmx'") as caught:
        pack.open({"level": "mmx"})
    assert all(level in str(caught.value) for level in pack.levels)


def test_the_best_level_that_the_processor_has_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPATCH_PORTABLE_LEVEL", raising=False)
    chosen = pack.open().library_version.rpartition(" ")[2]
    for better in pack.levels[pack.levels.index(chosen) + 1 :]:
        with pytest.raises(PackUnavailable, match="needs the CPU feature"):
            pack.open({"level": better})
