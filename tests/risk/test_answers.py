"""What is remembered of a picture's answers: little, in order, and enough to know a trusted share."""

import numpy as np
import pytest

from blackbox_conformal.method.risk.answers import Answers


def made(scores: np.ndarray) -> Answers:
    return Answers.of([0.9, None, 0.8], [1.0, 3.0, 2.0], scores.astype(np.float32), 0.25)


def test_the_least_resemblance_and_the_mean_difference_are_kept() -> None:
    found = made(np.zeros((4, 4)))
    assert found.resemblance[0] == pytest.approx(0.8)
    assert found.difference[0] == 2
    assert np.isnan(Answers.of([None], [0.0], np.zeros((2, 2), np.float32)).resemblance[0])


def test_the_trusted_share_is_known_at_any_threshold() -> None:
    scores = np.random.default_rng(1).gamma(2.0, 0.01, (200, 200))
    found = Answers.together([Answers.unknown(1), made(scores)])
    for threshold in np.quantile(scores, [0.0, 0.03, 0.2, 0.4, 0.8, 0.95]):
        shares = found.trusted_share(float(threshold))
        assert np.isnan(shares[0])
        assert shares[1] == pytest.approx((scores < threshold).mean(), abs=0.05)
    assert found.trusted_share(-np.inf)[1] == 0
    assert found.trusted_share(np.inf)[1] == 1


def test_what_is_written_is_what_is_read() -> None:
    found = Answers.together([made(np.eye(5)), Answers.unknown(2)])
    again = Answers.from_bytes(found.to_bytes())
    np.testing.assert_array_equal(again.values, found.values)
    assert len(again[[2, 0]]) == 2
    assert again.agreement[0] == 0.25
    assert np.isnan(again.agreement[1:]).all()


@pytest.mark.parametrize("rows", [0, 1, 12])
def test_what_an_earlier_version_wrote_keeps_its_bytes_and_says_nothing_of_agreement(rows: int) -> None:
    earlier = made(np.eye(5)).values[:, :-1].repeat(rows, axis=0).astype("<f4").tobytes()
    found = Answers.from_bytes(earlier)
    assert found.to_bytes() == earlier
    assert len(found) == rows
    together = Answers.together([found, made(np.eye(5))])
    assert np.isnan(together.agreement[:-1]).all()
    assert together.agreement[-1] == 0.25
    np.testing.assert_array_equal(found.trusted_share(0.5), together.trusted_share(0.5)[:-1])


def test_a_watched_picture_keeps_its_strangeness_and_others_keep_their_bytes() -> None:
    plain = Answers.together([made(np.eye(5)), Answers.unknown(1)])
    found = plain.watched(np.array([1.25, 3.0]))
    again = Answers.from_bytes(found.to_bytes())
    assert again.strangeness[0] == 1.25
    assert np.isnan(again.strangeness[1]), "nothing is known of a picture that was refused"
    assert again.agreement[0] == 0.25
    assert np.isnan(plain.strangeness).all()
    assert len(plain.to_bytes()) == 2 * 13 * 4
    earlier = Answers(plain.values[:, :-1])
    together = Answers.together([earlier, plain, again])
    np.testing.assert_array_equal(np.isnan(together.strangeness), [True] * 4 + [False, True])
    with pytest.raises(ValueError, match="out of its range"):
        Answers.from_bytes(plain.watched(np.array([-1.0, 0.0])).to_bytes())


@pytest.mark.parametrize(
    ("place", "value"), [(0, 1.5), (1, -1.0), (1, 300.0), (1, np.nan), (2, 9.0), (4, np.nan), (-1, 1.5)]
)
def test_values_that_no_answers_have_are_refused(place: int, value: float) -> None:
    values = made(np.eye(5)).values.copy()
    values[0, place] = value
    with pytest.raises(ValueError, match="out of its range"):
        Answers.from_bytes(Answers(values).to_bytes())
    with pytest.raises(ValueError, match="reshape"):
        Answers.from_bytes(Answers(values).to_bytes()[:-4])
