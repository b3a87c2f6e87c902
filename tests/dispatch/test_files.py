"""Files that take another's place whole."""

import pytest

from dispatch.files import replacing


def test_a_file_is_replaced_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with replacing(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_it(tmp_path):
    with replacing(tmp_path / "file") as file:
        file.write(b"data")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_missing_is_said(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="missing"),
        replacing(tmp_path / "missing" / "file"),
    ):
        pass
