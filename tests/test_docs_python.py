"""The Python in the documentation runs as it stands, against vendors on this machine.

A vendor that would be paid is replaced by the fault server's; the blocks of a page run one after another.
"""

import ast
import builtins
import importlib
import io
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.documentation import DOCS, PAGES, ROOT, Block, blocks, text_of
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

BLOCKS = blocks("python")
WITH_A_TEST_OF_THEIR_OWN = {
    "programs.md": "tests/pipeline/test_session.py",
    "serving.md": "tests/clients/gateway/test_examples.py",
    # Whole adapters run there; parts of one are looked at below.
    "README.md": "tests/adapters/test_readme.py",
}
PAGES_TO_RUN = [
    page for page in PAGES if page.name not in WITH_A_TEST_OF_THEIR_OWN and any(block.page == page for block in BLOCKS)
]
HOMES = ("adapter", "errors")
"""Modules of the package that parts of an adapter take their names from."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FaultServer) -> Path:
    """A working folder with the files that pages name, in which only vendors on this machine are asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("blackbox_conformal.scores._price_learning.STEPS", 20)
    load_adapter = bc.load_adapter

    def load(name: str, /, **parameters: Any) -> bc.Adapter:
        # The parameters must be the real vendor's.
        adapter = load_adapter(name, **parameters)
        return adapter if name in ("embedded", "folder") else SynchronousVendor(url=server.url)

    monkeypatch.setitem(vars(bc), "load_adapter", load)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "made-up")
    write_photographs(tmp_path / "photographs", range(28))
    write_photographs(tmp_path / "other-photographs", range(32, 38))
    write_draws(tmp_path / "outputs", range(28), draws=1)
    for number in range(40, 64):
        (tmp_path / "real-inputs").mkdir(exist_ok=True)
        small(number).save(tmp_path / "real-inputs" / f"{number}.png")
    (tmp_path / "inputs").mkdir()
    Image.fromarray(photograph(77)).save(tmp_path / "market.png")
    for name in ("small.png", "input.png", "inputs/one.png", "inputs/second.png"):
        small(100 + len(name)).save(tmp_path / name)
    return tmp_path


def small(seed: int) -> Image.Image:
    return Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)


def pictures() -> dict[str, Any]:
    """What pages take as given: photographs in memory, in every form."""
    encoded = io.BytesIO()
    Image.fromarray(photograph(70)).save(encoded, "JPEG")
    stack = np.stack([photograph(number) for number in range(71, 74)])
    return {
        "array": photograph(75),
        "image": Image.fromarray(photograph(76)),
        "jpeg": encoded.getvalue(),
        "stack": stack,
        "photographs": stack,
    }


def run(page: Path, names: dict[str, Any]) -> None:
    for block in BLOCKS:
        if block.page == page:
            source = "\n" * block.line + block.text
            exec(compile(source, str(page), "exec"), names)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, desk: Path, server: FaultServer) -> None:
    names: dict[str, Any] = {"bc": bc, **pictures()}
    text = "\n".join(block.text for block in BLOCKS if block.page == page)
    if "load_adapter" not in text and "vendor" in text:
        names["vendor"] = SynchronousVendor(url=server.url)
    if "runs/acme/" in text:
        run_folder = desk / "runs" / "acme"
        calibration = bc.calibrate(names["vendor"], "photographs/", run=run_folder, max_cost=20)
        calibration.save(run_folder / "calibration.json")
        bc.watch(names["vendor"], run_folder / "calibration.json", "photographs/", run=run_folder, max_cost=1)
    run(page, names)


@pytest.mark.parametrize("name", sorted(WITH_A_TEST_OF_THEIR_OWN))
def test_pages_that_do_not_run_here_run_elsewhere(name: str) -> None:
    assert name in text_of(ROOT / WITH_A_TEST_OF_THEIR_OWN[name])
    assert any(block.page.name == name for block in BLOCKS)


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.page.name == "README.md" and not block.text.startswith('"""')],
    ids=lambda block: block.name,
)
def test_a_part_of_an_adapter_names_what_exists(block: Block) -> None:
    tree = ast.parse(textwrap.dedent(block.text))
    known = set(dir(builtins)) | {"property", "self"}
    homes = [f"blackbox_conformal.{home}" for home in HOMES] + [
        "blackbox_adapters._price_list",
        "blackbox_adapters._reading",
        "decimal",
        "datetime",
    ]
    for home in homes:
        known |= set(vars(importlib.import_module(home)))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used - known == set()


def test_names_of_the_package_in_the_text_exist() -> None:
    for page in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        for name in re.findall(r"\bbc\.(\w+)", text_of(page)):
            assert hasattr(bc, name), (page.name, name)
