"""A vendor's claim: its figure by its definition, its tests under repeated looks with ties, and what a person reads."""

import itertools
import math

import numpy as np
import pytest
from support.synthetic import photograph as photograph_of
from support.synthetic import reduced

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import BETS, LEVEL
from blackbox_conformal.method.audits.detail_shares import PLAIN, VENDOR, DetailMeter, DetailSums
from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, VendorClaim
from blackbox_conformal.method.degradations.chain import Mixture

PIXELS = 1000
RUNS, MOST = 400, 150


def sums(invented=0.0, added=0.0, missing=0.0, detail=0.0, lacked=0.0):
    return DetailSums(0.0, 3 * PIXELS, missing, added, invented, detail, lacked)


def photograph(figure):
    """One whose vendor invents the share `figure` of what it adds."""
    return {VENDOR: sums(invented=figure * 9 * PIXELS, added=9 * PIXELS), PLAIN: sums()}


def audit(claim, figures):
    measured = tuple({} if figure is None else photograph(figure) for figure in figures)
    return ClaimAudit(VendorClaim.of(claim), tuple(map(str, range(len(figures)))), measured, len(figures))


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
    truth = photograph_of(1, (48, 64))
    low = reduced(truth, 4)
    invented, restored = (VendorClaim.of(claim) for claim in ("invented:at_most=0.2", "restored:at_least=0.2"))
    whole = DetailMeter(Mixture.of_text("bicubic"))("one", truth, low, truth)
    assert invented.share(whole) == pytest.approx(0, abs=1e-6)
    assert restored.share(whole) == pytest.approx(1, abs=1e-6)
    plain = {VENDOR: whole[PLAIN], PLAIN: whole[PLAIN]}
    assert invented.share(plain) == 0
    assert restored.share(plain) == 0


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


def wealth(losses, mean):
    """What even bets against a mean of at least `mean` are worth after each loss of each run; by its definition."""
    bets = np.arange(1, BETS + 1)[:, None, None] / (BETS + 1)
    return np.cumprod(1 - bets * (losses - mean) / (1 - mean), axis=2).mean(axis=0)


def ever(claim, figures, verdict):
    """In which share of runs a verdict is reached at any of the looks, one after each photograph."""
    parsed = VendorClaim.of(claim)
    losses = parsed.losses([photograph(figure) for figure in figures.ravel()])[0].reshape(figures.shape)
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
    rng = np.random.default_rng(1)
    # Ties: a photograph invents all that it adds or nothing, so that the mean loss is what both claims allow.
    edge = (rng.random((RUNS, MOST)) < 0.2).astype(float)
    assert ever(claim, edge, verdict) <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


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
    rng = np.random.default_rng(2)
    parsed = VendorClaim.of(claim)
    better, worse = ((rng.random((RUNS, MOST)) < mean).astype(float) for mean in (0.1, 0.4))
    assert ever(claim, better, "supported") > 0.6
    assert ever(claim, worse, "contradicted") > 0.95
    assert ever(claim, better, "contradicted") <= LEVEL
    assert "at least 21 photographs" in parsed.outlook()
    assert audit(claim, [0.0] * 20).verdict == "undecided"
    assert audit(claim, [0.0] * 21).verdict == "supported"


def test_what_could_not_be_measured_never_helps_a_verdict():
    claim = "invented:at_most=0.2"
    assert audit(claim, [0.0] * 21 + [None] * 21).verdict == "undecided"
    assert audit(claim, [1.0] * 3).verdict == "contradicted"
    assert audit(claim, [1.0] * 3 + [None] * 40).verdict == "undecided"
    told = audit(claim, [0.1, None]).document()
    assert told["photographs"] == [{"name": "0", "figure": pytest.approx(0.1)}, {"name": "1", "figure": None}]


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ("invented:at_most=0.2", "at most 20 % of the detail that the vendor adds is not in the truth, on average"),
        ("erased:at_most=0.3,in=0.95", "at most 30 % of the truth's detail is in plain enlargement and missing in the"),
    ],
)
def test_the_claim_is_said_in_words(claim, sentence):
    assert VendorClaim.of(claim).sentence.startswith(sentence)


def test_the_interval_is_that_of_what_is_claimed():
    for claim, figure in itertools.product(("invented:at_most=0.2", "invented:at_most=0.2,in=0.9"), (0.0, 1.0)):
        found = audit(claim, [figure] * 60)
        low, high = found.document()["interval"]
        kept = (figure <= 0.2) if "in=" in claim else figure
        assert low <= kept <= high
        assert high - low < 0.2
        assert found.document()["mean"] == figure
