"""Nothing is overwritten by accident, nothing is left half written."""

from pathlib import Path

import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.files import write_new


def test_other_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_new(path, b"first")
    with pytest.raises(UsageError, match="--force"):
        write_new(path, b"second")
    assert path.read_bytes() == b"first"


def test_the_same_content_again_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_new(path, b"same")
    assert write_new(path, b"same") == path


def test_force_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_new(path, b"first")
    write_new(path, b"second", force=True)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written"):
        write_new(tmp_path / "file" / "below", b"content")
