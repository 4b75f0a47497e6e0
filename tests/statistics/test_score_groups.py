"""A promise within groups by median score holds with ties; one threshold, or groups chosen by losses, break it."""

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.by_score import (
    NAMES,
    ByMedianScore,
    for_each,
    group_of,
    groups_of,
    in_smallest,
)
from blackbox_conformal.method.guarantees.expected import Expected

N, LEVELS, ALPHA, TRIALS, FRESH = 24, 40, 0.2, 250, 200


def pictures(generator, n):
    """Keys, whose few medians are often equal, and (n, levels) losses: low medians are wrong at low scores."""
    medians = generator.integers(0, 4, n)
    keys = [(float(median), f"{generator.integers(2**40):x}") for median in medians]
    first = np.minimum(generator.integers(0, LEVELS, n) + 4 * medians, LEVELS)
    return keys, (np.arange(LEVELS) >= first[:, None]) * generator.choice([0.3, 0.6, 1.0], n)[:, None]


def thresholds(tools, of_each, losses, count):
    curves = tools.curves(losses)
    return {name: ByMedianScore(groups=of_each, group_new=name).threshold(curves, ALPHA) for name in NAMES[count]}


def chosen_by_losses(tools, generator, losses):
    """Of many numbers that say nothing, keys by the one whose lower half can be trusted most."""
    keys = [[(float(number), f"{place:02}") for place, number in enumerate(each)] for each in generator.random((60, N))]
    grouped = [tuple(group or "" for group in groups_of(each, 2)) for each in keys]
    return keys[int(np.argmax([thresholds(tools, each, losses, 2)["lower half"] for each in grouped]))]


@pytest.mark.parametrize(("way", "count"), [("exact", 2), ("exact", 3), ("exact", 4), ("one", 2), ("by losses", 2)])
def test_the_promise_holds_within_each_group(tools, way, count):
    generator, risks = np.random.default_rng(44), {name: [] for name in NAMES[count]}
    sizes = {name: [] for name in NAMES[count]}
    for _ in range(TRIALS):
        (keys, losses), (fresh, fresh_losses) = pictures(generator, N), pictures(generator, FRESH)
        if way == "by losses":
            keys = chosen_by_losses(tools, generator, losses)
            fresh = [(float(number), "") for number in generator.random(FRESH)]
        of_each = tuple(group or "" for group in groups_of(keys, count))
        cuts = [key for key, group in zip(keys, of_each, strict=True) if not group]
        at = thresholds(tools, of_each, losses, count)
        if way == "one":
            at = dict.fromkeys(at, Expected().threshold(tools.curves(losses), ALPHA))
        new = np.array([group_of(key, cuts, count) for key in fresh])
        for name, threshold in at.items():
            risks[name].append(tools.below(fresh_losses[new == name], threshold).sum())
            sizes[name].append(np.count_nonzero(new == name))
    # By the mean size, so that the mean over trials is the risk within the group.
    verdicts = {name: tools.verdict(np.array(found) / np.mean(sizes[name])) for name, found in risks.items()}
    if way == "exact":
        assert all(verdict.keeps(ALPHA) for verdict in verdicts.values())
    else:
        assert verdicts["lower half"].breaks(ALPHA)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("n", range(14))
def test_a_photograph_at_each_cut_calibrates_no_group_and_each_group_gets_its_share(n, count):
    keys = [(0.5, f"{number:02}") for number in range(n)]
    found = groups_of(keys[::-1], count)
    sizes = [found.count(name) for name in NAMES[count]]
    assert (min(sizes), sum(sizes)) == (in_smallest(n, count), max(0, n - count + 1)) or n < count
    cuts = [key for key, group in zip(keys[::-1], found, strict=True) if group is None]
    # By its key each photograph that calibrates is in the group that it calibrates.
    assert all(group in (None, group_of(key, cuts, count)) for key, group in zip(keys[::-1], found, strict=True))
    assert in_smallest(for_each(n, count), count) == n
    assert in_smallest(for_each(n, count) - 1, count) == n - 1 or n == 0
