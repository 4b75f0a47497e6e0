"""Which files count as photographs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from support.picture_files import png

from blackbox_conformal.errors import UsageError
from blackbox_conformal.images.photographs import demo_photographs, find_photographs
from blackbox_conformal.images.read import read_image


def test_folders_are_searched_files_are_taken_and_each_comes_once(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "sub/c.tiff", "notes.txt", ".hidden.png", ".git/d.png", "sub/odd.dat"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png())
    found = find_photographs([tmp_path, tmp_path / "a.jpg", str(tmp_path / "sub" / "odd.dat")])
    paths = [one.path.relative_to(tmp_path).as_posix() for one in found]
    assert paths == ["a.jpg", "b.PNG", "sub/c.tiff", "sub/odd.dat"]
    assert [one.name for one in found] == ["a", "b", "c", "odd"]


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
    assert len(found) >= 11
    assert len({one.name for one in found}) == len(found)
    for one in found:
        picture = read_image(one.path)
        assert min(picture.size) >= 300
        assert "grey replicated to RGB" not in picture.conversions


def test_finding_them_imports_none_of_the_packages() -> None:
    script = (
        "import sys; from blackbox_conformal.images.photographs import demo_photographs; demo_photographs();"
        "print([name for name in ('skimage', 'sklearn', 'matplotlib', 'scipy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    gone = ("skimage", "sklearn")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else find(name))
    with pytest.raises(UsageError, match=r"scikit-image, scikit-learn; not installed.*blackbox-conformal\[demo\]"):
        demo_photographs()
