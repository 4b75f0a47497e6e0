"""Several people's marks: agreement by definition, and the annotation that is made of them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.annotation_files import marked, pictures

from blackbox_conformal.annotations.annotation_file import (
    PEOPLE,
    Origin,
    Pair,
    read_annotation,
    stored,
    write_annotation,
)
from blackbox_conformal.annotations.combine import agreement, alpha_sums, combine, overlap, people_of
from blackbox_conformal.annotations.semantic import Semantic
from blackbox_conformal.errors import FileFormatError, UsageError

PICTURES = [pictures(seed) for seed in range(3)]
PAIRS = [Pair.of(*pair) for pair in PICTURES]


def by_definition(levels):
    """Alpha from every pair of values, one by one."""
    values = [[int(level) for level in unit] for unit in np.reshape(levels, (len(levels), -1)).T]
    everything = [value for unit in values for value in unit]
    within = sum(sum((a - b) ** 2 for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in values) / len(
        everything
    )
    between = sum((a - b) ** 2 for a, b in permutations(everything, 2)) / (len(everything) * (len(everything) - 1))
    return None if between == 0 else 1 - within / between


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.data())
def test_alpha_is_that_of_its_definition(people, data):
    levels = [data.draw(arrays(np.uint8, (2, 4), elements=st.sampled_from([0, 51, 255]))) for _ in range(people)]
    found, wanted = alpha_sums(levels).alpha, by_definition(levels)
    assert found == (None if wanted is None else pytest.approx(wanted, abs=1e-12))


def test_alpha_of_what_is_alike_and_of_opposites():
    one, other = marked((0, 0, 16, 24)), marked((16, 0, 32, 24))
    assert alpha_sums([one, one, one]).alpha == 1
    assert alpha_sums([one, other]).alpha < -0.99
    assert alpha_sums([marked(), marked()]).alpha is None
    assert alpha_sums([one]).alpha is None


def test_overlap():
    one, other = marked((0, 0, 4, 4)), marked((2, 0, 6, 4))
    assert (overlap([one, other]), overlap([marked(), marked()])) == (pytest.approx(8 / 24), 1)
    assert overlap([one, one // 2]) == 1, "of what was marked at all, whatever the grade"
    assert overlap([one, other, marked()]) == pytest.approx((8 / 24 + 0 + 0) / 3)


def save(folder, name, levels, at=0):
    write_annotation(folder / PEOPLE / name, *PICTURES[at], levels, Origin(name, "2026-03-01", "png"), force=True)


@pytest.mark.parametrize(("rule", "wanted"), [("mean", [86, 0, 1, 170]), ("max", [255, 0, 1, 255])])
def test_the_metric_reads_the_mean_or_the_largest_grade(tmp_path, rule, wanted):
    columns = {"ana": [255, 0, 0, 255], "ben": [0, 0, 1, 255], "eva": [2, 0, 0, 0]}
    for name, values in columns.items():
        levels = marked()
        levels[0, :4] = values
        save(tmp_path, name, levels)
    combine(tmp_path, rule)
    found = read_annotation(tmp_path, *PICTURES[0])
    assert found[0, :4].tolist() == wanted, "a mean is rounded up"
    assert not found[1:].any()
    grades = Semantic(annotations=tmp_path).map(*PICTURES[0])
    np.testing.assert_allclose(grades[0, :4], np.array(wanted) / 255, rtol=1e-6)


def test_who_counts_is_stated_and_the_same_for_every_picture(tmp_path):
    for at in range(2):
        save(tmp_path, "ana", marked((0, 0, 4, 4)), at)
    save(tmp_path, "ben", marked((0, 0, 2, 2)), 0)
    with pytest.raises(UsageError, match=r"expected everyone's marks of every picture; ben has not marked 1 picture"):
        combine(tmp_path)
    assert not stored(tmp_path)
    assert len(combine(tmp_path, annotators=["ana"])) == 2
    save(tmp_path, "ben", marked(), 1)
    for path in combine(tmp_path, "max"):
        assert '"annotator": "ana; ben"' in path.read_text()
        assert '"source": "max of 2"' in path.read_text()
    with pytest.raises(UsageError, match="expected names of people who marked, ana, ben; got eva"):
        combine(tmp_path, annotators=["eva"])
    with pytest.raises(UsageError, match="there are none"):
        combine(tmp_path / "elsewhere")


def test_what_was_imported_is_not_replaced_by_accident(tmp_path):
    write_annotation(tmp_path, *PICTURES[0], marked(), Origin("one", "2026-03-01", "coco"))
    save(tmp_path, "ana", marked((0, 0, 4, 4)))
    np.testing.assert_array_equal(read_annotation(tmp_path, *PICTURES[0]), marked())
    with pytest.raises(UsageError, match="was imported, or is damaged, and is not replaced"):
        combine(tmp_path)
    combine(tmp_path, force=True)
    np.testing.assert_array_equal(read_annotation(tmp_path, *PICTURES[0]), marked((0, 0, 4, 4)))


def test_agreement_of_a_folder(tmp_path):
    save(tmp_path, "ana", marked((0, 0, 16, 24)), 0)
    save(tmp_path, "ben", marked((0, 0, 16, 24)), 0)
    save(tmp_path, "ana", marked((0, 0, 16, 24)), 1)
    save(tmp_path, "ben", marked((8, 0, 24, 24)), 1)
    save(tmp_path, "ben", marked((0, 0, 1, 1)), 2)
    found = agreement(tmp_path)
    assert found.people == ("ana", "ben")
    by_stem = {one.stem: one for one in found.pictures}
    same, differ, alone = (by_stem[pair.stem] for pair in PAIRS)
    assert (same.overlap, same.krippendorff_alpha, same.shares) == (1, 1, (0.5, 0.5))
    assert differ.overlap == pytest.approx(1 / 3)
    assert (alone.people, alone.overlap, alone.krippendorff_alpha) == (1, None, None)
    together = [np.stack([marked((0, 0, 16, 24)), one]) for one in (marked((0, 0, 16, 24)), marked((8, 0, 24, 24)))]
    assert found.krippendorff_alpha == pytest.approx(alpha_sums(list(np.stack(together, axis=1))).alpha)


def test_the_marks_of_two_people_in_one_folder_and_of_one_in_two_are_refused(tmp_path):
    save(tmp_path, "ana", marked())
    assert list(people_of(tmp_path)) == ["ana"]
    write_annotation(tmp_path / PEOPLE / "ana", *PICTURES[1], marked(), Origin("ben", "2026-03-01", "png"))
    with pytest.raises(FileFormatError, match="got those of ana, ben"):
        people_of(tmp_path)
    (tmp_path / PEOPLE / "ana").rename(tmp_path / "aside")
    save(tmp_path, "ana", marked())
    (tmp_path / PEOPLE / "ana").rename(tmp_path / PEOPLE / "eva")
    save(tmp_path, "ana", marked())
    with pytest.raises(FileFormatError, match="of each person in one folder"):
        people_of(tmp_path)
