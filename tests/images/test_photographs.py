"""Which files count as photographs."""

import re
from pathlib import Path

import pytest
from support.picture_files import png

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.photographs import demo_photographs, find_photographs, left_out
from blackbox_conformal.method.images.read import read_image


def test_folders_are_searched_files_are_taken_and_each_comes_once(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "sub/c.tiff", "notes.txt", ".hidden.png", ".git/d.png", "sub/odd.dat"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png())
    found = find_photographs([tmp_path, tmp_path / "a.jpg", str(tmp_path / "sub" / "odd.dat")])
    paths = [one.path.relative_to(tmp_path).as_posix() for one in found]
    assert paths == ["a.jpg", "b.PNG", "sub/c.tiff", "sub/odd.dat"]
    assert [one.name for one in found] == ["a", "b", "c", "odd"]


def test_what_is_left_out_of_a_folder_is_counted_by_kind(tmp_path: Path) -> None:
    names = ["a.png", "b.PSD", "c.psd", "sub/d.gif", "README", ".hidden.psd", ".git/e.psd", "named.dat"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    said = left_out([tmp_path, tmp_path / "sub", tmp_path / "named.dat"])
    assert said is not None
    assert said.startswith("4 files left out: 2 .psd, 1 ")
    assert all(kind in said for kind in ("1 .gif", "1 without an ending", "what is read is .avif, .bmp"))
    assert left_out([tmp_path / "a.png"]) is None
    (tmp_path / "sub" / "d.\x1b[2J").write_bytes(b"")
    assert "\x1b" not in str(left_out([tmp_path / "sub"]))


def test_order_does_not_depend_on_how_they_are_named(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes(png())
    files = [tmp_path / name for name in ("3.png", "1.png", "2.png")]
    assert find_photographs(files) == find_photographs([tmp_path])


def test_a_link_to_a_photograph_is_the_same_photograph(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert len(find_photographs([tmp_path])) == 1


def test_missing_and_empty_places_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find_photographs([tmp_path / "no\x1bwhere"])
    with pytest.raises(UsageError, match=r"found none in .*"):
        find_photographs([tmp_path])
    with pytest.raises(UsageError, match="found none in nothing"):
        find_photographs([])
    with pytest.raises(UsageError, match=r"x00"):
        find_photographs(["nul\0byte"])


def test_the_demonstration_has_photographs_that_all_pass_the_gate() -> None:
    found = demo_photographs()
    assert len(found) == 21
    for one in found:
        picture = read_image(one.path)
        assert min(picture.size) >= 300
        assert "grey replicated to RGB" not in picture.conversions


def test_every_photograph_has_its_author_licence_and_source_beside_it() -> None:
    folder = demo_photographs()[0].path.parent
    rows = re.findall(r"^\| `(\w[\w-]*\.jpg)` \|(.*)\|$", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == [one.path.name for one in demo_photographs()]
    for _, row in rows:
        shows, author, licence, source = (cell.strip() for cell in row.split("|"))
        assert shows
        assert author
        assert licence in ("public domain", "CC0 1.0")
        assert source.endswith("`")
