"""Distances from the truth in the clear part: against loops, by chance alone, and for a bad and a good vendor."""

import math

import numpy as np
import pytest
from naive import clear_part as naive
from PIL import Image, ImageFilter
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.method.audits.clear_part import ClearPart, advice, clear_parts, squares_of
from blackbox_conformal.method.audits.detail_shares import PLAIN, REFERENCE, VENDOR
from blackbox_conformal.method.risk.whole_errors import SquaredErrors
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


def test_photographs_of_a_calibration_are_compared_to_a_twentieth_of_their_pixels():
    rng = np.random.default_rng(5)
    rows, scene = [], []
    for _ in range(12):
        truth, pictures, _ = tile(rng, 0.5, (40, 50))
        scores = rng.integers(0, 30, (40, 50)).astype(np.float32) / 30
        named = {"delivered": pictures[VENDOR], "enlargement": pictures[PLAIN], "reference": pictures[REFERENCE]}
        rows.append(SquaredErrors.of(scores, truth, named.items()))
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
    said = found.document()["advice"]
    if not named:
        assert clear.nearer[PLAIN] == 0
        assert said is calibration.advice(calibration.rule(), ALPHA) is None
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
    assert calibration.advice(calibration.rule(), ALPHA).startswith(
        "At 0.3 use the plain enlargement: in the clear part"
    )
    # An audit of an earlier version did not look; its report has what the calibration knows.
    stored = AUDITS.content(found)
    for picture in stored["pictures"]:
        del picture["squares"]
    earlier = AUDITS.parse(AUDITS.text(stored).encode())
    assert (earlier.clear_parts, earlier.document()["clear_part"], earlier.document()["advice"]) == ([], [], None)
    page = bc.report(tmp_path / "run", calibration=calibration, audit=earlier, alpha=ALPHA, force=True).read_text()
    assert "calibration photographs (by" in page
