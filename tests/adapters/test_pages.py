"""The adapters' pages are what the code says."""

from pathlib import Path

import pytest

import blackbox_conformal
from blackbox_adapters._pages import main, pages, seed_class
from blackbox_conformal.study.plugins import describe

FOLDER = Path(blackbox_conformal.__file__).parent / "docs" / "adapters"


def test_pages_are_current():
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    wanted = pages()
    stale = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
    assert not stale, f"run: python -m blackbox_adapters._pages blackbox_conformal/docs/adapters, for {stale}"


def test_a_page_says_what_a_user_asks():
    page = pages()["stability.md"]
    for wanted in ("STABILITY_API_KEY", "`creativity`", "0.40 USD", "1 to 4294967294", "resampled", "64 px"):
        assert wanted in page
    assert "[stability](stability.md)" in pages()["index.md"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("stability", "A"), ("comfyui", "B"), ("magnific", "C"), ("picsart", "D"), ("replicate", "depends")],
)
def test_seed_classes(name, expected):
    assert seed_class(describe(name)) == expected


def test_pages_of_adapters_that_are_gone_are_removed(tmp_path):
    (tmp_path / "gone.md").write_text("x")
    main(tmp_path)
    assert not (tmp_path / "gone.md").exists()
    assert (tmp_path / "index.md").exists()
