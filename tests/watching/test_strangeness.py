"""How far an answer's differences reach: what a vendor that leaves seams changes, where all other features stay."""

import math
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.spoiling_vendor import Spoiling, as_bytes, write_crops
from support.synthetic import reduced

import blackbox_conformal as bc
from blackbox_conformal.method.facts.levels import PairSizes
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.pair_facts import pair_sizes
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.watching import watch_file
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.visit.canaries import FEATURES, features
from blackbox_conformal.watching.visit.looking import canaries_finding, gather

LEVEL, HONEST = 0.05, 16
NAMES = sorted(one.name for one in demo_photographs())


class Varying(Spoiling):
    """Answers without seeds that vary in strength, brightness and colour, as those of a generative network do."""

    def play(self, head: Head, body: bytes) -> Response:
        random, change = np.random.default_rng([7, self.submissions]), self.change
        gain, offset = random.normal(1, 0.02), random.normal(0, 1, 3) + random.normal(0, 1)
        noise = random.uniform(1, 5)
        self.change = lambda answer: change(
            128 + gain * (answer.astype(float) - 128) + offset + random.normal(0, noise, answer.shape)
        )
        try:
            return super().play(head, body)
        finally:
            self.change = change


def seam(answer: np.ndarray) -> np.ndarray:
    """A step of 8 levels along one line, as of tiles that are blended over 24 pixels on either side."""
    apart = np.arange(answer.shape[1]) - 107.5
    step = 4 * np.sign(apart) * np.maximum(0, 1 - np.abs(apart) / 24)
    return answer + step[None, :, None]


def test_a_vendor_that_begins_to_leave_seams_is_told_in_words_and_by_no_other_feature(tmp_path, monkeypatch):
    monkeypatch.setattr(watch_file, "secrets", SimpleNamespace(token_hex=lambda count: "5" * 2 * count))
    files = write_crops(tmp_path / "photographs", NAMES[:6])
    with Varying() as server:
        vendor = SynchronousVendor(url=server.url, seedable=False)
        settings = {"run": tmp_path / "run", "max_cost": 9, "progress": False, "concurrency": 1}
        made = bc.calibrate(vendor, files, draws=2, score="pixel-variance", metric="rgb-linf", **settings)
        path = made.save(tmp_path / "calibration.json")
        visit = bc.watch(vendor, path, files, canaries=4, level=LEVEL, **settings)
        while visit.number < HONEST:
            assert visit.state == "watched"
            visit = bc.watch(vendor, path, **settings)
        server.change = seam
        while visit.state == "watched" and visit.number < HONEST + 10:
            visit = bc.watch(vendor, path, **settings)
    assert visit.state == "suspended"
    (said,) = [one.statement for one in visit.findings if one.verdict == "changed"]
    assert said.startswith("strangeness moved by +")
    words = (
        r"; what grew most: the answer to \S+ differs from the input by a step of .* along a vertical line at x = 108$"
    )
    assert re.search(words, said), said
    with watch_file.WatchFile(watch_file.watch_path(path)) as file:
        watch = file.current(made.digest)
        visits = file.visits(watch)
        highest = file.highest(visits[-1].id)
    needed = Level(LEVEL).needed(len(FEATURES) - 1)
    others = {name: math.exp(log) for name, log in highest.items() if name != "strangeness"}
    assert len(others) == len(FEATURES) - 1
    assert max(others.values()) < needed / 20, others
    # A watch that an earlier version began, whose visits measured nothing else, goes on with those features.
    kept = [
        replace(one, draws=tuple(replace(draw, features=without(draw.features)) for draw in one.draws))
        for one in visits[:-1]
    ]
    evidence = gather(watch, [*kept, visits[-1]], 4)
    assert set(evidence.wealth) == set(others)
    found = canaries_finding(Level(LEVEL), evidence, [*kept, visits[-1]], 4, instead=False)
    assert found.verdict == "same"
    assert f"of the {needed:.0f} that are an alarm" in found.statement


def test_masked_pictures_enter_with_the_strangeness_of_their_answers_and_calibrated_ones_have_it(tmp_path):
    files = write_crops(tmp_path / "photographs", NAMES[:7])
    with Varying() as server:
        vendor = SynchronousVendor(url=server.url, seedable=False)
        settings = {"run": tmp_path / "run", "max_cost": 9, "progress": False, "concurrency": 1}
        made = bc.calibrate(vendor, files[:6], draws=2, score="pixel-variance", metric="rgb-linf", **settings)
        path = made.save(tmp_path / "calibration.json")
        bc.watch(vendor, path, files[:6], canaries=1, **settings)
        result = bc.mask(vendor, ("input", reduced(np.asarray(Image.open(files[6])), 4)), path, 0.9, **settings)
    with closing(sqlite3.connect(watch_file.watch_path(path))) as connection:
        (entered,) = connection.execute("SELECT answers FROM live").fetchone()
        named = {row[0] for row in connection.execute("SELECT feature FROM live_rank")}
    (found,) = Answers.from_bytes(entered).strangeness
    sent = reduced(np.asarray(Image.open(files[6])), 4)
    assert found == np.float32(pair_sizes(sent, result.image).strangeness[0]) > 0
    assert "strangeness" in named
    known = made.watched_answers(range(6)).strangeness
    np.testing.assert_array_equal(known, made.pair_sizes.strangeness.astype(np.float32))
    assert np.isnan(made.answers.strangeness).all(), "the file keeps its bytes"
    older = replace(made, pair_sizes=PairSizes.unknown(6))
    assert np.isnan(older.watched_answers(range(6)).strangeness).all()


def without(features):
    return {name: value for name, value in features.items() if name != "strangeness"}


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda answer: answer, 0.0),
        (lambda answer: answer + np.array([8, -4, 12]), 1.5),
        (lambda answer: np.pad(answer, ((3, 0), (0, 0), (0, 0)), "edge")[:-3], 3.0),
        (seam, 0.7),
    ],
)
def test_strangeness_grows_with_a_tint_a_move_and_a_seam_and_small_pictures_have_none(change, least, tmp_path):
    (file,) = write_crops(tmp_path, NAMES[:1])
    truth = np.asarray(Image.open(file))
    sent = reduced(truth, 4)
    answer = np.asarray(Image.fromarray(sent).resize((224, 224), Image.Resampling.BICUBIC)).astype(float)
    plain, found = (features(as_bytes(one), sent)["strangeness"] for one in (answer, change(answer)))
    assert plain + least <= found <= plain + least + (20 if least else 0)
    assert features(as_bytes(change(answer))[:64, :64], sent[:16, :16])["strangeness"] == 0
