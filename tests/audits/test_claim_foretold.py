"""How many photographs decide a vendor's claim: what is foretold from a few, against audits of many others."""

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import BETS, LEVEL
from blackbox_conformal.method.audits.detail_shares import PLAIN, VENDOR, DetailSums
from blackbox_conformal.method.audits.vendor_claim import FEWEST, MOST, ClaimForetold, VendorClaim

PILOTS, AUDITS = 60, 200


def inventing(figure):
    """One whose vendor invents the share `figure` of what it adds."""
    return {VENDOR: DetailSums(0, 300, 0, 900, 900 * figure, 0, 0), PLAIN: DetailSums(0, 300, 0, 0, 0, 0, 0)}


def foretold(claim, figures):
    return ClaimForetold.of(claim, [inventing(float(figure)) for figure in figures], "the pilot")


def deciding(claim, figures):
    """After how many photographs even bets decide each row, either way, by their definition; inf: never."""
    losses = figures > claim.level if claim.within is not None else figures
    bets, reached = np.arange(1, BETS + 1)[:, None, None] / (BETS + 1), np.zeros(figures.shape, bool)
    for loss, mean in ((losses, claim.allowed), (1 - losses, 1 - claim.allowed)):
        worth = np.exp(np.cumsum(np.log1p(-bets * (loss - mean) / (1 - mean)), axis=2)).mean(axis=0)
        reached |= worth >= 1 / LEVEL
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


CASES = [
    ("invented:at_most=0.2", 0.1, 3),
    ("invented:at_most=0.2", 0.15, 12),
    ("invented:at_most=0.2", 0.35, 3),
    ("invented:at_most=0.5,in=0.8", 0.4, 3),
    ("invented:at_most=0.5,in=0.9", 0.3, 12),  # So near to the level that a thousand photographs seldom decide.
]


@pytest.mark.slow
def test_numbers_foretold_from_twenty_photographs_are_too_small_in_one_case_of_four_at_most():
    exceeded, halves, right, plugged = [], [], [], []
    for text, mean, spread in CASES:
        claim, rng = VendorClaim.of(text), np.random.default_rng(7)
        draw = lambda *size, rng=rng, a=mean * spread, b=spread - mean * spread: rng.beta(a, b, size)  # noqa: E731
        numbers = deciding(claim, draw(AUDITS, MOST))
        true = claim.losses([inventing(one) for one in draw(9999)])[0].mean() <= claim.allowed
        verdict, over, plain = "supported" if true else "contradicted", [], []
        for _ in range(PILOTS):
            pilot = draw(FEWEST)
            found = foretold(claim, pilot)
            halves.append(np.mean(numbers <= (found.about or np.inf)))
            over.append(np.mean(numbers > (found.most or np.inf)))
            if found.likely is not None:
                right.append(found.likely == verdict)
            # The control: audits of the pilot's own photographs, as if there were no others.
            again = np.quantile(deciding(claim, rng.choice(pilot, (40, MOST // 2))), 0.75, method="higher")
            plain.append(np.mean(numbers > again))
        exceeded.append(np.mean(over))
        plugged.append(np.mean(plain))
    assert max(exceeded) <= 0.25 + 0.05  # One standard error of so few pilots.
    assert np.mean(exceeded) <= 0.25
    assert 0.4 <= np.mean(halves) <= 0.6
    assert np.mean(right) >= 0.9
    assert max(plugged) > 0.35, "the control fails"


def test_it_is_said_in_calls_and_what_is_not_known_is_said_too():
    bill = "{} paid calls, $1".format
    claim = VendorClaim.of("invented:at_most=0.2")
    clear = foretold(claim, [0.05] * FEWEST)
    assert clear.about == clear.most
    assert clear.likely == "supported"
    command = "By the pilot `audit --claim invented:at_most=0.2`"
    assert clear.sentence(bill) == (
        f"{command} takes about {clear.about} paid calls, $1; {clear.about} paid calls, $1 at most, in three of four "
        "cases. It stops at the first look that decides. It is probably supported."
    )
    assert foretold(claim, [0.9] * FEWEST).likely == "contradicted"
    near = foretold(claim, [0.1, 0.3] * FEWEST)
    assert (near.most, near.likely) == (None, None)
    assert "more than 1000 paid calls" in near.sentence(bill)
    unmeasured = ClaimForetold.of(claim, [{}] * FEWEST, "the pilot")
    assert (unmeasured.about, unmeasured.likely) == (None, None)
    assert unmeasured.sentence(bill) == f"{command} as often as not takes more than 1000 paid calls, $1."
    with pytest.raises(UsageError, match=r"at least 20 .* got 19. Add --pilot 20"):
        foretold(claim, [0.1] * (FEWEST - 1))
