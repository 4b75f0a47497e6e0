"""What a visit draws: what the calibration has stored is not bought, and each canary is drawn anew once."""

import pytest

from blackbox_conformal.study.stages.settings import Setup, set_up
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.watching.records import Canary, Visit, Watched
from blackbox_conformal.watching.visit.canaries import FIRST_INDEX, draws_to_choose_by, planned_draws

CANARY = Canary("one", "sha256:" + "1" * 64, b"png", 20, 16, None)


def setup_with(draws: int, *, seedable: bool = True, perturbation: str | None = None) -> Setup:
    score = "pixel-variance" if draws > 1 else "bicubic-gap"
    vendor = SynchronousVendor(url="http://127.0.0.1:9", seedable=seedable)
    return set_up(vendor, draws=draws, score=score, perturbation=perturbation)


def watched(*, calibrated: bool = True, repeats: bool | None = None) -> Watched:
    return Watched(1, "sha256:" + "0" * 64, "", "seed", 0.01, calibrated, repeats)


@pytest.mark.parametrize(("draws", "looked_at"), [(1, 1), (2, 1), (8, 4)])
def test_no_reference_is_bought_where_the_calibration_has_draws(draws, looked_at):
    setup = setup_with(draws)
    planned = planned_draws(setup, watched(), [CANARY], [])
    assert draws_to_choose_by(setup) == looked_at
    assert [draw.index for draw in planned if draw.purpose == "chosen"] == list(range(looked_at))
    references = [draw.index for draw in planned if draw.purpose == "reference"]
    assert references == list(range(looked_at, draws))
    assert [draw.purpose for draw in planned if draw.index >= FIRST_INDEX] == ["repeat"] * 6 + ["fresh"]
    assert len({draw.index for draw in planned}) == len(planned)


def test_a_perturbed_vendor_is_compared_by_the_one_draw_of_the_same_upload():
    planned = planned_draws(setup_with(8, seedable=False, perturbation="dihedral"), watched(), [CANARY], [])
    assert [(draw.purpose, draw.index) for draw in planned if draw.index < FIRST_INDEX] == [("chosen", 0)]


def test_no_two_watches_number_their_draws_alike():
    first, second = ({draw.index for draw in planned_draws(setup_with(1), watched(), [CANARY], [])} for _ in range(2))
    assert {index for index in first & second if index >= FIRST_INDEX} == set()


def test_after_an_acceptance_every_reference_is_new_and_a_repeat_has_the_seed_of_what_it_repeats():
    setup = setup_with(8)
    planned = planned_draws(setup, watched(calibrated=False), [CANARY], [])
    assert all(draw.index >= FIRST_INDEX for draw in planned)
    first = next(draw for draw in planned if draw.purpose == "reference")
    assert {draw.seed for draw in planned if draw.purpose == "repeat"} == {first.seed}
    later = planned_draws(setup, watched(repeats=True), [CANARY], [Visit(1, 1, "", "now", "same", tuple(planned))])
    assert [(draw.purpose, draw.seed == first.seed) for draw in later] == [("repeat", True), ("fresh", False)]
