"""What `mask` itself tells of the vendor and of the inputs, from pictures whose truth nobody knows."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph
from support.watch_post import CHANGED, Post, verdicts

from blackbox_conformal import Session
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import SuspendedError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.watching import watch_file

FIXED_TIES = SimpleNamespace(token_hex=lambda count: "5" * 2 * count)
"""The number of pictures to an alarm depends on how ties are broken."""


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a calibration on fifty photographs, whose watch is begun and was never visited."""
    with FaultServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch_file, "secrets", FIXED_TIES)
        made = Post(tmp_path_factory.mktemp("calibrated"), server, photographs=50)
        made.calibrate(2, "--canaries", "2")
    return made.folder


@pytest.fixture
def post(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Post]:
    """That calibration, in a folder of the test's own."""
    monkeypatch.setattr(watch_file, "secrets", FIXED_TIES)
    shutil.copytree(calibrated, tmp_path, dirs_exist_ok=True)
    with FaultServer() as server:
        yield Post(tmp_path, server, capsys, photographs=50)


def rows(post: Post, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(post.file)) as connection:
        return connection.execute(query).fetchall()


def test_a_silent_change_is_caught_by_mask_itself_within_ten_pictures(post, monkeypatch):
    for seed in range(100, 106):
        assert post.mask(seed)[0] == 0
    monkeypatch.setattr(Response, "with_headers", lambda self, **_: self)
    post.server.script = {"submit": CHANGED}
    codes, said = [], ""
    while "this calibration is suspended since" not in said and len(codes) < 12:
        code, said, _ = post.mask(106 + len(codes))
        codes.append(code)
    assert codes[-1] == 3, said
    assert codes == sorted(codes)
    assert len(codes) <= 10
    assert "answers: the" in said
    paid = post.paid
    code, document, said = post.watch()
    assert (code, document["visit"], document["state"], post.paid) == (3, 0, "suspended", paid)
    assert re.search(r"answers   [▁▂▃▄▅▆▇]+█+  picture by picture; full height is an alarm", said), said
    evidence = document["live_evidence"]
    assert len(evidence["inputs"]) == len(evidence["answers"]) == 6 + len(codes)
    highest = rows(post, "SELECT max(log_wealth) FROM live_wealth WHERE feature IN ('difference', 'resemblance')")[0][0]
    assert evidence["answers"][-1] >= highest
    page = post.folder / "page.html"
    assert post.watch("--page-only", str(page))[0] == 0, "there was no visit, and there are pictures to show"
    text = page.read_text(encoding="utf-8")
    assert f"0 visits, {len(evidence['inputs'])} pictures masked" in text
    assert all(title in text for title in ("Inputs: evidence that they drifted", "Answers: evidence against"))
    assert verdicts(document) == {"inputs": "same", "answers": "changed"}
    # Once that is accepted, the vendor is watched as it is then, from the next visit on; it is not what was calibrated.
    assert post.watch("--accept", "it is known")[0] == 0
    code, _, pictures = post.mask(130)
    assert code == 0
    assert any("an alarm about this calibration, which was accepted" in note for note in pictures[0]["notes"])
    assert rows(post, "SELECT count(*) FROM live WHERE watch > 1") == [(0,)]
    assert post.watch()[0] == 0
    found = [post.mask(seed)[0] for seed in range(131, 143)]
    assert found[-1] == 3, "the run folder compares with the calibration itself"
    assert rows(post, "SELECT count(*) FROM live WHERE watch > 1") == [(12,)]


def test_the_pictures_of_a_session_are_watched_too(post):
    vendor = SynchronousVendor(url=post.server.url)
    post.server.script = {"submit": CHANGED}
    done: list[int] = []
    with Session(post.calibration, vendor, 0.9, run=post.folder / "run", max_cost=9) as session:

        def mask_until_refused() -> None:
            for seed in range(100, 110):
                small = PillowImage.fromarray(photograph(seed)).resize((20, 16), PillowImage.Resampling.BICUBIC)
                session.mask(np.asarray(small))
                done.append(seed)

        with pytest.raises(SuspendedError, match="answers: the"):
            mask_until_refused()
    assert 0 < len(done) < 10


def test_inputs_of_another_kind_are_a_note_and_no_fault_of_the_vendor(post):
    noisy, random = post.folder / "noisy", np.random.default_rng(1)
    noisy.mkdir()
    for seed in range(100, 130):
        small = np.asarray(PillowImage.fromarray(photograph(seed)).resize((20, 16), PillowImage.Resampling.BICUBIC))
        grainy = np.clip(small + random.normal(0, 40, small.shape), 0, 255).astype(np.uint8)
        PillowImage.fromarray(grainy).save(noisy / f"{seed}.png")
    words = ["--calibration", post.calibration, *post.common, "--out", str(post.folder / "masked"), "--alpha", "0.9"]
    assert run(["mask", str(noisy), *words]) == 3
    assert "30 that were masked in this run folder are of another kind: your inputs are" in post.capsys.readouterr().err
    code, said, pictures = post.mask(99)
    assert code == 3, said
    assert pictures[0]["status"] == "outside-calibration"
    assert "are of another kind" in pictures[0]["reason"]
    code, document, _ = post.watch()
    assert (code, document["state"], verdicts(document)["inputs"]) == (0, "watched", "note")


def test_each_picture_enters_once_and_a_calibrations_own_not_at_all(post):
    for _ in range(2):
        assert post.mask(100)[0] == 0
    assert post.mask(101)[0] == 0
    assert rows(post, "SELECT count(*), count(DISTINCT input) FROM live") == [(2, 2)]
    assert rows(post, "SELECT count(*) FROM live_rank WHERE p_value BETWEEN 0 AND 1") == [(2 * 15,)]
    assert rows(post, "SELECT count(*) FROM live_wealth") == [(15,)]


def test_a_watch_that_was_begun_before_keeps_its_level_and_looks_at_no_live_picture(post):
    with closing(sqlite3.connect(post.file)) as connection:
        connection.executescript(
            "DROP TABLE log; DROP TABLE live_rank; DROP TABLE live_wealth; DROP TABLE live;"
            " ALTER TABLE watch DROP COLUMN live; PRAGMA user_version = 1;"
        )
    assert post.mask(100)[0] == 0
    assert rows(post, "SELECT count(*) FROM live") == [(0,)]
    code, document, said = post.watch()
    assert (code, verdicts(document)["answers"]) == (0, "not watched"), said
    assert "the watch was begun without this layer" in said


@pytest.mark.parametrize("damage", ["live_wealth SET shares = '[1, null]'", "live SET statistics = x'00'"])
def test_live_pictures_that_are_damaged_are_told_of(post, damage):
    assert post.mask(100)[0] == 0
    with closing(sqlite3.connect(post.file)) as connection:
        connection.execute(f"UPDATE {damage}")
        connection.commit()
        code, said, _ = post.mask(101)
        assert (code, "it was changed since" in said.replace("\n", " ")) == (2, True)
        # A log that was written anew beside the damage knows no better.
        connection.executescript("DROP TABLE log; PRAGMA user_version = 2;")
    code, said, _ = post.mask(101)
    assert code == 2
    assert "expected the watch of a calibration" in said.replace("\n", " ")


def test_a_calibration_that_nobody_watches_gets_no_watch_by_masking(server, tmp_path, capsys):
    assert isinstance(server.vendor, FaultVendor)
    post = Post(tmp_path, server, capsys)
    post.calibrate(1)
    assert post.mask()[0] == 0
    assert not post.file.exists()
