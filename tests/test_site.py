"""The check of the site's links finds those that lead nowhere. (The site itself is built by `.ci/run site`.)"""

import importlib
import runpy
from pathlib import Path

from support.documentation import ROOT

dead_links = runpy.run_path(str(ROOT / ".ci" / "site" / "check_links.py"))["dead_links"]
NAMES = runpy.run_path(str(ROOT / ".ci" / "site" / "names.py"))


def test_every_part_of_a_result_lies_where_the_site_looks_for_it() -> None:
    for name in NAMES["PARTS"]:
        module, _, part = f"blackbox_conformal.{name}".rpartition(".")
        assert hasattr(importlib.import_module(module), part), name


def test_dead_pages_files_and_anchors_are_found(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "page.html").write_text('<h1 id="there">x</h1><a href="../index.html">home</a>')
    (tmp_path / "a b.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(
        '<p id="top"><a href="inner/page.html#there">good</a><a href="#top">good</a><img src="a%20b.png">'
        '<a href="https://elsewhere.example/gone">not followed</a>'
        '<a href="inner/page.html#gone">a</a><a href="gone.html">b</a><img src="gone.png"><a href="#gone">c</a>'
        '<a href="inner">no index</a>'
    )
    (tmp_path / "llms.txt").write_text("- [good](inner/page.html#there): x\n- [gone](d.html): x\n")
    assert "llms.txt: d.html leads nowhere" in dead_links(tmp_path)
    (tmp_path / "llms.txt").unlink()
    found = [line.removeprefix("index.html: ").removesuffix(" leads nowhere") for line in dead_links(tmp_path)]
    assert found == ["inner/page.html#gone", "gone.html", "gone.png", "#gone", "inner"]
