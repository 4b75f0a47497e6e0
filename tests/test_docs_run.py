"""Every block of the documentation runs as it is pasted, from the top of its page to the bottom, at no cost.

Only vendors on this machine are asked: Python that would ask a paid one gets the embedded one. A block that cannot run
says above its fence why (`support.documentation.MARKS`), and is parsed: `test_docs_commands.py` does so for commands.
"""

import ast
import builtins
import contextlib
import importlib
import inspect
import io
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.documentation import DOCS, MARKS, PAGES, README, ROOT, Block, blocks, text_of
from support.pasted import Desk
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc

pytestmark = pytest.mark.usual_promise

CODE = blocks("python", "sh", "console", "javascript")
RUNNING = [block for block in CODE if not block.mark]
FRAGMENTS = [block for block in CODE if block.mark == "not run: part of a file"]
SLOW = {"python.md", "tasks.md", "variations.md"}
"""All of Python, the demo of each task, and ten calibrations. `.ci/run slow` runs them."""
READERS = [page for page in [*DOCS.glob("*.md"), README] if "bc." in text_of(page)]
HOMES = ("blackbox_conformal.vendor.adapter", "blackbox_conformal.errors", "blackbox_adapters._hosted")
HOMES += ("blackbox_adapters._reading", "decimal", "datetime")
"""Modules that parts of an adapter take their names from."""


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that pages name: a folder to copy."""
    folder = tmp_path_factory.mktemp("scene")
    write_photographs(folder / "photographs", range(20))
    write_photographs(folder / "other-photographs", range(32, 38))
    write_photographs(folder / "unseen", range(90, 94))
    write_draws(folder / "outputs", range(20), draws=1)
    (folder / "real-inputs").mkdir()
    (folder / "inputs").mkdir()
    for number in range(40, 64):
        small(number).save(folder / "real-inputs" / f"{number}.png")
    for number, name in enumerate(
        ("small.png", "input.png", "in.png", "grey.png", "noisy.png", "inputs/one.png", "inputs/second.png")
    ):
        small(100 + number).save(folder / name)
    Image.fromarray(photograph(77)).save(folder / "market.png")
    calibration = bc.calibrate(bc.load_adapter("embedded"), folder / "photographs", run=folder / "runs" / "acme")
    for place in ("calibration.json", "runs/acme/calibration.json"):
        calibration.save(folder / place)
    return folder


def small(seed: int) -> Image.Image:
    return Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)


def pictures() -> dict[str, Any]:
    """What pages take as given: photographs in memory, in every form."""
    encoded = io.BytesIO()
    Image.fromarray(photograph(70)).save(encoded, "JPEG")
    stack = np.stack([photograph(number) for number in range(80, 86)])
    forms = {"array": photograph(75), "image": Image.fromarray(photograph(76)), "jpeg": encoded.getvalue()}
    return {**forms, "stack": stack, "photographs": stack}


@pytest.fixture
def desk(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A working folder with the files that pages name, in which only vendors on this machine are asked."""
    folder = tmp_path / "desk"
    shutil.copytree(scene, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("blackbox_conformal.method.scores._learned_training.STEPS", 5)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "made-up")
    load_adapter = bc.load_adapter

    def load(name: str, /, **parameters: Any) -> bc.Adapter:
        # The parameters must be the real vendor's.
        adapter = load_adapter(name, **parameters)
        return adapter if name in ("embedded", "folder") else load_adapter("embedded")

    monkeypatch.setitem(vars(bc), "load_adapter", load)
    with contextlib.ExitStack() as stack:
        yield Desk(folder, {"bc": bc, "vendor": load("embedded"), **pictures()}, monkeypatch, stack)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive", "ignore:.*photographs (is a|are) lossy file")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, id=page.name, marks=[pytest.mark.slow, pytest.mark.timeout(1200)] if page.name in SLOW else []
        )
        for page in PAGES
        if any(block.page == page for block in RUNNING)
    ],
)
def test_the_blocks_of_a_page_run_as_pasted(page: Path, desk: Desk) -> None:
    for block in RUNNING:
        if block.page == page:
            desk.run(block)


def test_a_block_that_does_not_run_says_why_or_names_its_test() -> None:
    for block in CODE:
        kind, _, reason = block.mark.partition(": ")
        if block.mark.startswith("run by "):
            test = ROOT / block.mark.removeprefix("run by ")
            assert block.page.name in text_of(test), (block.name, "the test does not name the page")
        else:
            assert (kind, reason) == ("", "") or (kind == "not run" and reason in MARKS), block.name
        assert block.mark or block.language != "javascript", block.name


@pytest.mark.parametrize("page", READERS, ids=lambda page: page.name)
def test_names_and_keywords_of_the_package_exist(page: Path) -> None:
    text = text_of(page)
    for name in re.findall(r"\bbc\.(\w+)", text):
        assert hasattr(bc, name), name
    calls = re.findall(r"`(bc\.\w+\([^`]*\))`", text)
    for source in [*calls, *(block.text for block in CODE if block.page == page and block.language == "python")]:
        with contextlib.suppress(SyntaxError):
            for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
                if re.match(r"bc\.[a-z_]+$|bc\.Session$", ast.unparse(call.func)):
                    taken = inspect.signature(getattr(bc, ast.unparse(call.func)[3:])).parameters
                    given = {word.arg for word in call.keywords if word.arg}
                    open_ended = any(each.kind is each.VAR_KEYWORD for each in taken.values())
                    assert open_ended or given <= set(taken), (page.name, ast.unparse(call))


@pytest.mark.parametrize("block", FRAGMENTS, ids=lambda block: block.name)
def test_a_part_of_an_adapter_names_what_exists(block: Block) -> None:
    tree = ast.parse(textwrap.dedent(block.text))
    known = set(dir(builtins)) | {"property", "self"}
    for home in HOMES:
        known |= set(vars(importlib.import_module(home)))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used - known == set()
