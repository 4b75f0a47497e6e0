"""Restored, invented and erased detail against plain loops, and what a vendor claims of them."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from naive import detail as naive
from scipy.ndimage import gaussian_filter, shift
from support.synthetic import draw, photograph, reduced

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits import detail_shares
from blackbox_conformal.method.audits.confidence import BETS, LEVEL
from blackbox_conformal.method.audits.detail_shares import (
    PLAIN,
    REFERENCE,
    VENDOR,
    DetailMeter,
    DetailShares,
    DetailSums,
    detail_blocks,
)
from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, ClaimedPhotograph, VendorClaim
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.support.blocks import Note, Table, document

BICUBIC = Mixture.of_text("bicubic")


def scene(seed, scale=4, size=(48, 64)):
    """Truth and input."""
    truth = photograph(seed, size)
    return truth, reduced(truth, scale) if scale > 1 else (truth // 2 + 40).astype(np.uint8)


def by_hand(truth, picture, plain, sigma):
    """What `DetailSums` holds, from the loops."""
    black = np.zeros_like(truth)
    invented, added = (values.sum() for values in naive.unexplained(picture, truth, plain, sigma))
    lacked, detail = (values.sum() for values in naive.unexplained(truth, picture, black, sigma))
    missing = naive.unexplained(truth, plain, plain, sigma)[1].sum()
    squares = np.square(truth.astype(float) - picture).sum()
    return np.array([squares, truth.size, missing, added, invented, detail, lacked])


def as_array(sums):
    return np.array([getattr(sums, name) for name in sums.__slots__])


@pytest.mark.parametrize(("scale", "sigma"), [(1, 4.0), (4, 4.0)])
def test_sums_equal_the_loops(scale, sigma):
    truth, low = scene(1, scale, (12, 16))
    delivered, plain = draw(truth, 1), bicubic_up(low, scale)
    found = DetailMeter(BICUBIC)("a", truth, low, delivered)
    pictures = {VENDOR: delivered, PLAIN: plain} | ({REFERENCE: reference(low, 4)} if scale > 1 else {})
    assert list(found) == list(pictures), "at scale 1 the reference is the input"
    for name, picture in pictures.items():
        hand = by_hand(truth, picture, plain, sigma)
        np.testing.assert_allclose(as_array(found[name]), hand, rtol=2e-3, atol=1e-4 * hand[5])
    assert found[PLAIN].added == found[PLAIN].invented == 0


def test_the_truth_restores_all_and_plain_enlargement_nothing():
    truth, low = scene(2)
    meter = DetailMeter(BICUBIC)
    perfect = DetailShares.of([meter("a", truth, low, truth)])
    assert perfect.restored[0] == pytest.approx(1, abs=1e-6)
    assert (perfect.invented[0], perfect.psnr[0]) == (0, math.inf)
    nothing = DetailShares.of([meter("a", truth, low, bicubic_up(low, 4))])
    assert nothing.restored == (0, 0, 0)
    assert all(map(math.isnan, nothing.invented))
    assert nothing.erased == (0, 0, 0)


def test_references_are_made_once_a_photograph_with_other_weights_for_inputs_that_are_not_only_reduced(monkeypatch):
    asked = []
    take = lambda low, scale, *, degraded: asked.append(degraded) or reference(low, scale)  # noqa: E731
    monkeypatch.setattr(detail_shares, "reference", take)
    truth, low = scene(1)
    for chain in ("bicubic", "bicubic+jpeg:50"):
        meter = DetailMeter(Mixture.of_text(chain))
        for vendor in range(3):
            meter("a", truth, low, draw(truth, vendor))
        meter("b", truth, low, truth)
    assert asked == [False] * 2 + [True] * 2


def test_holes_shifted_pictures_and_scale_one_are_left_out_by_name():
    truth, low = scene(3)
    assert DetailMeter(Mixture.of_text("holes:share=0.1,side=4"))("a", truth, low, truth) == {}
    truth = photograph(4, (96, 96))
    moved = np.clip(shift(truth.astype(float), (1, 0, 0), mode="nearest"), 0, 255).round().astype(np.uint8)
    found = DetailMeter(BICUBIC)("a", truth, truth, moved)
    assert list(found) == [PLAIN]
    said = " ".join(block.text for block in detail_blocks([found]) if isinstance(block, Note))
    assert "shifted against its input: 1 delivered picture" in said
    assert "the free reference, which is left out" in said
    assert document(detail_blocks([{}])) == {"detail": []}


def made_up(count, seed=0):
    """Sums of made-up photographs."""
    rng = np.random.default_rng(seed)

    def sums():
        added, detail = rng.uniform(10, 90, 2)
        return DetailSums(rng.uniform(1, 9), 30.0, 70.0, added, added * rng.random(), detail, detail * rng.random())

    return [{VENDOR: sums(), PLAIN: replace(sums(), added=0.0, invented=0.0)} for _ in range(count)]


def test_shares_are_pooled_and_photographs_are_drawn_again():
    measured = made_up(9)
    found = DetailShares.of([{}, *measured])
    vendor, plain = ([one[name] for one in measured] for name in (VENDOR, PLAIN))
    assert found.photographs == 9

    def total(name, rows):
        return sum(getattr(row, name) for row in rows)

    def restored(rows):
        return (total("added", rows) - total("invented", rows)) / total("missing", rows)

    assert found.restored[0] == pytest.approx(restored(vendor))
    assert found.invented[0] == pytest.approx(total("invented", vendor) / total("added", vendor))
    lacked = total("lacked", vendor) - total("lacked", plain)
    assert found.erased[0] == pytest.approx(lacked / total("detail", vendor))
    assert found.psnr[0] == pytest.approx(10 * math.log10(255**2 * 9 * 30 / total("squares", vendor)))
    rng = np.random.default_rng(5)
    again = [restored([vendor[place] for place in rng.integers(9, size=9)]) for _ in range(4000)]
    np.testing.assert_allclose(found.restored[1:], np.quantile(again, [0.05, 0.95]), atol=0.02)


def test_tiles_of_one_photograph_stay_together():
    measured = made_up(4)
    whole = DetailShares.of(measured)
    tiles = DetailShares.of([*measured, *measured], photographs=["a", "b", "c", "d"] * 2)
    assert tiles.photographs == 4
    np.testing.assert_allclose(tiles.restored, whole.restored)
    np.testing.assert_allclose(tiles.erased, whole.erased)
    assert np.ptp(DetailShares.of([*measured, *measured]).restored[1:]) < np.ptp(whole.restored[1:])


def blurred(pixels, sigma):
    return gaussian_filter(pixels.astype(float), (sigma, sigma, 0)).round().astype(np.uint8)


@pytest.mark.parametrize(("sigma", "warned"), [(0.0, False), (3.0, True)])
def test_only_a_vendor_that_removes_what_enlargement_shows_is_warned_of(sigma, warned):
    measured = []
    for seed in range(6):
        truth = blurred(photograph(seed, (64, 64)), 1.0)
        low = reduced(truth, 2)
        measured.append(DetailMeter(BICUBIC)(str(seed), truth, low, blurred(bicubic_up(low, 2), sigma)))
    found = [block for block in detail_blocks(measured) if isinstance(block, Note) and block.remark == "warning"]
    assert [note.text[:24] for note in found] == ["The vendor erased detail"] * warned
    # Omission as a metric cannot tell: nothing that enlargement lacks is restored by either.
    assert DetailShares.of(measured).restored[0] == pytest.approx(0, abs=0.05)


def test_a_table_has_a_row_for_each_picture():
    measured = [DetailMeter(BICUBIC)(str(seed), *scene(seed), draw(scene(seed)[0], seed)) for seed in range(3)]
    blocks = list(detail_blocks(measured))
    (table,) = [block for block in blocks if isinstance(block, Table)]
    headings, cells = table.cells()
    assert [row[0] for row in cells] == ["vendor", "plain enlargement", "free reference"]
    assert headings[3:] == ["restored of the missing detail", "of the added detail, not in the truth"]
    assert cells[1][3:] == ["0 % (0 to 0)", "–"]
    said = " ".join(block.text for block in blocks if isinstance(block, Note))
    assert f"the vendor restored {cells[0][3]}; of what it added, {cells[0][4]} is not in the truth." in said
    assert "leaves out counts as not restored, never as invented" in said


PIXELS = 1000
RUNS, MOST = 400, 150


def sums(invented=0.0, added=0.0, missing=0.0, detail=0.0, lacked=0.0):
    return DetailSums(0.0, 3 * PIXELS, missing, added, invented, detail, lacked)


def inventing(figure):
    """One whose vendor invents the share `figure` of what it adds."""
    return {VENDOR: sums(invented=figure * 9 * PIXELS, added=9 * PIXELS), PLAIN: sums()}


def audit(claim, figures):
    measured = tuple({} if figure is None else inventing(figure) for figure in figures)
    seen = [ClaimedPhotograph(str(place), "", "", None, one) for place, one in enumerate(measured)]
    return ClaimAudit(VendorClaim.of(claim), tuple(seen), len(figures))


@pytest.mark.parametrize(
    ("claim", "vendor", "share"),
    [
        ("invented:at_most=0.2", sums(invented=3000, added=9000), 1 / 3),
        ("invented:at_most=0.2", sums(invented=300, added=300), 0.3),
        ("invented:at_most=0.2", sums(), 0),
        ("erased:at_most=0.2", sums(detail=5000, lacked=2500), 0.3),
        ("erased:at_most=0.2", sums(detail=5000, lacked=500), 0),
        ("restored:at_least=0.2", sums(missing=8000, added=3000, invented=1000), 0.25),
        ("restored:at_least=0.2", sums(missing=8000, added=1000, invented=3000), 0),
        ("restored:at_least=0.2", sums(missing=900), 1),
    ],
)
def test_a_photographs_figure(claim, vendor, share):
    measured = {VENDOR: vendor, PLAIN: sums(lacked=1000)}
    assert VendorClaim.of(claim).share(measured) == pytest.approx(share)


def test_the_truth_invents_nothing_and_restores_all_and_plain_enlargement_neither():
    truth, low = scene(1)
    claims = [VendorClaim.of(claim) for claim in ("invented:at_most=0.2", "restored:at_least=0.2")]
    whole = DetailMeter(BICUBIC)("one", truth, low, truth)
    plain = {VENDOR: whole[PLAIN], PLAIN: whole[PLAIN]}
    assert [claim.share(whole) for claim in claims] == pytest.approx([0, 1], abs=1e-6)
    assert [claim.share(plain) for claim in claims] == [0, 0]


@pytest.mark.parametrize(
    "text",
    [
        *("", "invented", "invented:at_most=0", "invented:at_most=1", "invented:at_most=few", "restored:at_most=0.2"),
        *("invented:at_most=0.2,of=0.9", "invented:at_most=0.2,in=1", "blurred:at_most=0.2", "invented:at_most=nan"),
    ],
)
def test_what_photographs_cannot_decide_is_refused_with_a_claim_to_paste(text):
    with pytest.raises(UsageError, match=r"--claim invented:at_most=0\.2"):
        VendorClaim.of(text)


CLAIMS = pytest.mark.parametrize("claim", ["invented:at_most=0.2", "invented:at_most=0.5,in=0.8"])


def edge(mean=0.2, seed=1):
    """Ties: a photograph invents all that it adds or nothing, so that the mean loss is what both claims allow."""
    return (np.random.default_rng(seed).random((RUNS, MOST)) < mean).astype(float)


def wealth(losses, mean):
    """What even bets against a mean of at least `mean` are worth after each loss of each run; by its definition."""
    bets = np.arange(1, BETS + 1)[:, None, None] / (BETS + 1)
    return np.cumprod(1 - bets * (losses - mean) / (1 - mean), axis=2).mean(axis=0)


def ever(claim, figures, verdict):
    """In which share of runs a verdict is reached at any of the looks, one after each photograph."""
    parsed = VendorClaim.of(claim)
    losses = parsed.losses([inventing(figure) for figure in figures.ravel()])[0].reshape(figures.shape)
    mirrored = verdict == "contradicted"
    level = 1 - parsed.allowed if mirrored else parsed.allowed
    reached = wealth(1 - losses if mirrored else losses, level) >= 1 / LEVEL
    for run in (0, 1):
        for looks in (1, 20, figures.shape[1]):
            found = audit(claim, figures[run, :looks].tolist()).verdict
            assert (found == verdict) == bool(reached[run, looks - 1])
    return reached.any(axis=1).mean()


@CLAIMS
@pytest.mark.parametrize("verdict", ["supported", "contradicted"])
def test_a_claim_on_the_edge_is_seldom_decided_however_often_one_looks(claim, verdict):
    assert ever(claim, edge(), verdict) <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


def test_an_interval_for_one_number_of_photographs_is_wrong_far_too_often_when_looked_at_after_each():
    """The control: what a claim would be tested with by hand."""
    rng = np.random.default_rng(1)
    edge = (rng.random((RUNS, MOST)) < 0.2).astype(float)
    n = np.arange(1, MOST + 1)
    mean = edge.cumsum(axis=1) / n
    above = mean - 1.645 * np.sqrt(np.maximum(mean * (1 - mean), 1e-9) / n) > 0.2
    assert above[:, 10:].any(axis=1).mean() > 3 * LEVEL


@CLAIMS
def test_true_and_false_claims_are_decided_within_the_number_that_was_foretold(claim):
    better, worse = edge(0.1, 2), edge(0.4, 3)
    assert ever(claim, better, "supported") > 0.6
    assert ever(claim, worse, "contradicted") > 0.95
    assert ever(claim, better, "contradicted") <= LEVEL
    assert "at least 21 photographs" in VendorClaim.of(claim).outlook()
    assert [audit(claim, [0.0] * count).verdict for count in (20, 21)] == ["undecided", "supported"]


def test_what_could_not_be_measured_never_helps_a_verdict():
    claim = "invented:at_most=0.2"
    assert audit(claim, [0.0] * 21 + [None] * 21).verdict == "undecided"
    assert audit(claim, [1.0] * 3).verdict == "contradicted"
    assert audit(claim, [1.0] * 3 + [None] * 40).verdict == "undecided"
    told = audit(claim, [0.1, None]).document()
    assert told["photographs"] == [{"name": "0", "figure": pytest.approx(0.1)}, {"name": "1", "figure": None}]


def test_the_claim_is_said_in_words():
    for claim, sentence in (
        ("invented:at_most=0.2", "at most 20 % of the detail that the vendor adds is not in the truth, on average"),
        ("erased:at_most=0.3,in=0.95", "at most 30 % of the truth's detail is in plain enlargement and missing in the"),
    ):
        assert VendorClaim.of(claim).sentence.startswith(sentence)


def test_the_interval_is_that_of_what_is_claimed():
    for claim, figure in itertools.product(("invented:at_most=0.2", "invented:at_most=0.2,in=0.9"), (0.0, 1.0)):
        found = audit(claim, [figure] * 60)
        low, high = found.document()["interval"]
        kept = (figure <= 0.2) if "in=" in claim else figure
        assert low <= kept <= high
        assert high - low < 0.2
        assert found.document()["mean"] == figure
