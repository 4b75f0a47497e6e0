"""Distances from the truth in the clear part: against loops, by chance alone, and for a bad and a good vendor."""

import math
from dataclasses import replace

import numpy as np
import pytest
from naive import clear_part as naive
from PIL import Image, ImageFilter
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.method.audits.clear_part import Beyond, ClearPart, advice, clear_parts, details_of, squares_of
from blackbox_conformal.method.audits.detail_shares import PLAIN, REFERENCE, VENDOR
from blackbox_conformal.method.audits.mask_worth import DetailByScore
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, Twentieths
from blackbox_conformal.pages.report.report_store import AUDITS

ALPHA = 0.3
KEPT = "Use the clear pixels as they are"


def tile(rng, share, size=(9, 7)):
    truth = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    pictures = {
        name: np.clip(truth + rng.normal(0, spread, truth.shape), 0, 255).astype(np.uint8)
        for name, spread in ((VENDOR, 30), (PLAIN, 25), (REFERENCE, 20))
    }
    return truth, pictures, rng.random(size) < share


@pytest.mark.parametrize("tiles", [1, 3])
def test_figures_equal_the_loops(tiles):
    rng = np.random.default_rng(tiles)
    # One photograph has no clear part, and in one the vendor delivers the plain enlargement.
    scene = [[tile(rng, 0 if place == 2 else 0.4) for _ in range(tiles)] for place in range(9)]
    for _, pictures, _ in scene[4]:
        pictures[PLAIN] = pictures[VENDOR]
    flat = [one for photograph_ in scene for one in photograph_]
    measured = [squares_of(truth, pictures.items(), [mask]) for truth, pictures, mask in flat]
    shares = np.array([[mask.mean()] for *_, mask in flat])
    owners = [str(place) for place, photograph_ in enumerate(scene) for _ in photograph_] if tiles > 1 else None
    clear, whole = clear_parts(measured, shares, owners)
    everywhere = [[(truth, shown, np.ones_like(mask)) for truth, shown, mask in each] for each in scene]
    for found, expected in ((clear, scene), (whole, everywhere)):
        count, psnr, nearer = naive.clear_part(expected)
        assert (found.photographs, dict(found.nearer)) == (count, nearer)
        assert dict(found.psnr) == {name: pytest.approx(value, abs=1e-9) for name, value in psnr.items()}
    assert (clear.photographs, whole.photographs) == (8, 9)


def test_what_lies_beyond_the_free_reference_equals_the_loops():
    rng, mixture, scene = np.random.default_rng(2), Mixture.of_text("bicubic"), []
    for seed in range(4):
        truth = photograph(seed)
        spread = {VENDOR: 25, REFERENCE: 8}
        pictures = {
            name: np.clip(truth + rng.normal(0, size, truth.shape), 0, 255).astype(np.uint8)
            for name, size in spread.items()
        }
        scene.append((truth, reduced(truth, 4), pictures, rng.random(truth.shape[:2]) < 0.2 * seed))
    squares = [squares_of(truth, pictures.items(), [mask]) for truth, _, pictures, mask in scene]
    # Nothing is known of the detail of one photograph.
    details = [{}, *(details_of(truth, low, *shown.values(), [mask], mixture) for truth, low, shown, mask in scene[1:])]
    shares = np.array([[mask.mean()] for *_, mask in scene])
    clear, whole = clear_parts(squares, shares, None, details)
    for found, everywhere in ((clear, False), (whole, True)):
        right, invented = naive.beyond(
            [(truth, low, shown, mask | everywhere) for truth, low, shown, mask in scene[1:]], 4
        )
        assert (found.beyond.right, found.beyond.invented) == pytest.approx((right, invented), rel=2e-3, abs=2e-3)
        assert found.beyond.decibels == found.psnr[VENDOR] - found.psnr[REFERENCE]
    assert clear_parts(squares, shares)[0].beyond is None


def test_photographs_of_a_calibration_are_compared_to_a_twentieth_of_their_pixels():
    rng = np.random.default_rng(5)
    rows, scene = [], []
    for _ in range(12):
        truth, pictures, _ = tile(rng, 0.5, (40, 50))
        scores = rng.integers(0, 30, (40, 50)).astype(np.float32) / 30
        named = {"delivered": pictures[VENDOR], "enlargement": pictures[PLAIN], "reference": pictures[REFERENCE]}
        rows.append(SquaredErrors.of(Twentieths.of(scores), truth, named.items()))
        scene.append([(truth, pictures, scores < 0.5)])
    known = SquaredErrors.together([*rows, SquaredErrors.unknown(1)])
    found = ClearPart.of_errors(known, 0.5, enlarged=True)
    count, psnr, _ = naive.clear_part(scene)
    assert found.photographs == count == 12
    for name in (PLAIN, REFERENCE):
        assert found.psnr[name] - found.psnr[VENDOR] == pytest.approx(psnr[name] - psnr[VENDOR], abs=0.05)
        assert found.psnr[name] == pytest.approx(psnr[name], abs=0.4)
    assert ClearPart.of_errors(known, 0.1, enlarged=True).photographs == 0, "a tenth is clear"


def test_chance_alone_names_no_picture_and_ties_count_for_nothing():
    rng = np.random.default_rng(11)
    named = 0
    for _ in range(2000):
        # Equal in law, with ties, at three levels that share most of their pixels.
        squares = rng.integers(1, 6, (3, 26)).astype(np.float64)
        level = [squares, squares + rng.integers(0, 2, squares.shape), squares + rng.integers(0, 2, squares.shape)]
        parts = [ClearPart.of(dict(zip((VENDOR, PLAIN, REFERENCE), each, strict=True)), np.ones(26)) for each in level]
        named += bool(advice([0.1, 0.2, 0.3], [*parts, parts[0]]))
    assert named <= 100, "5 % at most"
    same = np.full(400, 7.0)
    assert ClearPart.of({VENDOR: same, PLAIN: same}, np.ones(400)).to_use() is None
    # Nearer on most photographs and yet farther in all.
    most = np.r_[np.full(25, 6.0), 400.0]
    assert ClearPart.of({VENDOR: np.full(26, 7.0), PLAIN: most}, np.ones(26)).to_use() is None
    assert ClearPart.of({VENDOR: np.full(26, 7.0), PLAIN: np.full(26, 6.0)}, np.ones(26)).to_use() == PLAIN
    few = ClearPart.of({VENDOR: np.full(3, 7.0), PLAIN: np.zeros(3)}, np.ones(3))
    assert (few.to_use(), few.psnr[PLAIN]) == (None, math.inf), "three photographs may be chance"


def over_sharpened(small):
    large = Image.fromarray(small).resize((4 * small.shape[1], 4 * small.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(large.filter(ImageFilter.UnsharpMask(2, 250, 0)))


TRUTHS = {reduced(photograph(seed), 4).tobytes(): seed for seed in (*range(20), *range(30, 50))}


def honest(small):
    """Half of the detail that plain enlargement lacks."""
    large = Image.fromarray(small).resize((4 * small.shape[1], 4 * small.shape[0]), Image.Resampling.BICUBIC)
    seed = TRUTHS.get(small.tobytes())
    truth = np.asarray(large) if seed is None else photograph(seed)
    return np.rint((truth.astype(float) + np.asarray(large)) / 2).astype(np.uint8)


@pytest.mark.parametrize(("vendor", "named"), [(over_sharpened, True), (honest, False)])
def test_an_over_sharpening_vendor_is_not_to_be_used_and_an_honest_one_is(vendor, named, tmp_path):
    known, unseen = (
        write_photographs(tmp_path / name, seeds) for name, seeds in (("k", range(20)), ("u", range(30, 50)))
    )
    adapter, terms = bc.from_function("vendor", vendor), {"run": tmp_path / "run", "progress": False}
    calibration = bc.calibrate(adapter, known, **terms)
    calibration.save(tmp_path / "run" / "calibration.json")
    found = bc.audit(adapter, unseen, calibration, alpha=ALPHA, **terms)
    (clear, whole), rows = found.clear_parts, found.document()["clear_part"]
    assert [row["alpha"] for row in rows] == [ALPHA, None]
    assert rows[0]["psnr"] == dict(clear.psnr)
    assert whole.psnr[VENDOR] == pytest.approx(found.document()["detail"][0]["psnr"][0]), "as all pixels pooled"
    page = bc.report(tmp_path / "run", calibration=calibration, audit=found, alpha=ALPHA).read_text()
    said, worth = found.document()["advice"], calibration.worth(calibration.rule(), ALPHA)
    assert clear.beyond == Beyond(**rows[0]["beyond"])
    assert clear.beyond.decibels == pytest.approx(clear.psnr[VENDOR] - clear.psnr[REFERENCE])
    assert clear.beyond.words in page
    assert worth.shares_in_words in page
    if not named:
        assert clear.nearer[PLAIN] == 0
        assert said is worth.advice is worth.warning is None
        assert min(worth.gains.values()) > 0
        assert KEPT in page
        return
    assert clear.nearer[PLAIN] >= 19
    sentence = (
        "At 0.3 use the plain enlargement: in the clear part it is nearer to the originals on "
        f"{clear.nearer[PLAIN]} of {clear.photographs} photographs "
        f"({clear.psnr[PLAIN]:.1f} dB, the vendor {clear.psnr[VENDOR]:.1f} dB)."
    )
    assert said == sentence
    assert sentence in page
    assert KEPT not in page
    assert worth.advice.startswith("At 0.3 use the plain enlargement: in the clear part")
    assert (
        "is farther from the originals than the free reference and the plain enlargement: `compare` tells"
        in worth.warning
    )
    # A calibration of an earlier version knows no detail.
    before = replace(calibration, detail_by_score=DetailByScore.unknown(calibration.n))
    before.save(tmp_path / "before.json")
    assert "detail_by_score" not in (tmp_path / "before.json").read_text()
    read = bc.Calibration.load(tmp_path / "before.json")
    assert read.digest == before.digest != calibration.digest
    assert read.worth(read.rule(), ALPHA).gains == worth.gains
    assert read.worth(read.rule(), ALPHA).shares_in_words == ""
    # An audit of an earlier version did not look; its report has what the calibration knows.
    stored = AUDITS.content(found)
    for picture in stored["pictures"]:
        del picture["squares"], picture["clear_detail"]
    earlier = AUDITS.parse(AUDITS.text(stored).encode())
    assert (earlier.clear_parts, earlier.document()["clear_part"], earlier.document()["advice"]) == ([], [], None)
    page = bc.report(tmp_path / "run", calibration=calibration, audit=earlier, alpha=ALPHA, force=True).read_text()
    assert "calibration photographs (by" in page
