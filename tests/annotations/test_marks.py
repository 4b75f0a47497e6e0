"""One person's marks: versions, saves that are refused, saves that were cut off, what combining made of them before."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.annotation_files import marked, pictures

from blackbox_conformal.annotations.annotation_file import Pair, read_annotation
from blackbox_conformal.annotations.combine import combine
from blackbox_conformal.annotations.marks import ForestalledError, Marks
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError

PAIR, SIZE = Pair.of(*pictures()), (24, 32)
ONE, OTHER = marked((0, 0, 3, 3)), marked((9, 9, 12, 12))


@pytest.fixture
def marks(tmp_path):
    return Marks(tmp_path / "annotations", "R. Nakamura")


def test_what_is_saved_is_loaded(marks):
    assert marks.load(PAIR, SIZE) == (None, None)
    version = marks.save(PAIR, ONE, None)
    levels, found = marks.load(PAIR, SIZE)
    np.testing.assert_array_equal(levels, ONE)
    assert found == version
    assert marks.marked() == {PAIR.stem}
    np.testing.assert_array_equal(read_annotation(marks.own, *pictures()), ONE)


def test_a_save_from_an_older_version_is_refused_and_the_stored_one_stays(marks):
    first = marks.save(PAIR, ONE, None)
    second = marks.save(PAIR, OTHER, first)
    for made_from in (first, None, "sha256:other"):
        with pytest.raises(ForestalledError, match="another window saved other marks") as refused:
            marks.save(PAIR, marked((1, 1, 2, 2)), made_from)
        assert refused.value.version == second
    np.testing.assert_array_equal(marks.load(PAIR, SIZE)[0], OTHER)
    assert marks.save(PAIR, OTHER, first) == second, "an answer that got lost is asked for again"
    marks.save(PAIR, ONE, None, replace=True)
    np.testing.assert_array_equal(marks.load(PAIR, SIZE)[0], ONE)


def test_of_windows_that_save_at_once_one_succeeds(marks):
    version = marks.save(PAIR, marked(), None)

    def save(column):
        try:
            return marks.save(PAIR, marked((column, 0, column + 1, 24)), version)
        except ForestalledError:
            return None

    with ThreadPoolExecutor(8) as pool:
        saved = [one for one in pool.map(save, range(24)) if one]
    assert saved == [marks.load(PAIR, SIZE)[1]]


def test_a_save_that_was_cut_off_is_finished(marks):
    marks.save(PAIR, ONE, None)
    before = (marks.own / f"{PAIR.stem}.json").read_bytes()
    marks.save(PAIR, OTHER, None, replace=True)
    (marks.own / f"{PAIR.stem}.json").write_bytes(before)
    with pytest.raises(FileFormatError, match="the PNG was changed"):
        read_annotation(marks.own, *pictures())
    np.testing.assert_array_equal(marks.load(PAIR, SIZE)[0], OTHER)
    np.testing.assert_array_equal(read_annotation(marks.own, *pictures()), OTHER)


def test_new_marks_take_away_what_older_ones_were_combined_into(marks):
    version = marks.save(PAIR, ONE, None)
    combine(marks.folder)
    np.testing.assert_array_equal(read_annotation(marks.folder, *pictures()), ONE)
    marks.save(PAIR, ONE, version)
    np.testing.assert_array_equal(read_annotation(marks.folder, *pictures()), ONE)
    marks.save(PAIR, OTHER, version)
    with pytest.raises(CalibrationError, match=r"marks are not combined.*annotate combine"):
        read_annotation(marks.folder, *pictures())


def test_marks_are_saved_beside_a_damaged_file_that_is_kept(marks):
    version = marks.save(PAIR, ONE, None)
    [combined] = combine(marks.folder)
    combined.write_bytes(combined.read_bytes()[:-40])
    damaged = combined.read_bytes()
    marks.save(PAIR, OTHER, version)
    np.testing.assert_array_equal(marks.load(PAIR, SIZE)[0], OTHER)
    assert combined.read_bytes() == damaged
    with pytest.raises(FileFormatError, match="expected JSON"):
        read_annotation(marks.folder, *pictures())
    with pytest.raises(UsageError, match=r"was imported, or is damaged, .* give --force"):
        combine(marks.folder)
    combine(marks.folder, force=True)
    np.testing.assert_array_equal(read_annotation(marks.folder, *pictures()), OTHER)


def test_people_have_folders_of_their_own(tmp_path):
    names = ["Ana", "ana", "Ana!", "张伟", "李娜", "a" * 150, "a" * 151, "../../etc", "con", "."]
    folders = [Marks(tmp_path, name).own for name in names]
    assert len({str(folder).lower() for folder in folders}) == len(names)
    assert all(folder.parent == tmp_path / "people" for folder in folders)
    for name in ("", "  ", "a" * 201, "a\nb", "\x1b[31m"):
        with pytest.raises(UsageError, match="expected the name of who marks"):
            Marks(tmp_path, name)


def test_marks_of_another_size_are_refused(marks):
    marks.save(PAIR, ONE, None)
    with pytest.raises(FileFormatError, match=r"32×24|more than"):
        marks.load(PAIR, (12, 16))


def test_a_folder_that_cannot_be_made_is_refused_in_words(marks):
    marks.own.parent.mkdir(parents=True)
    marks.own.write_text("no folder")
    with pytest.raises(UsageError, match="cannot be written"):
        marks.save(PAIR, ONE, None)


def test_marks_that_may_only_be_read_are_combined(marks, monkeypatch):
    marks.save(PAIR, ONE, None)

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    # What a user without the right to write in that folder meets; root has every right.
    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert len(combine(marks.folder)) == 1
