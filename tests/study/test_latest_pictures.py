"""Answers that were decoded when they arrived: taken once, for the same bytes, and few of them kept."""

from dataclasses import replace

import numpy as np
import pytest
from support.draws import tasks

from blackbox_conformal.method.images.resemblance import Resemblance
from blackbox_conformal.study.stages.draws import KEPT_BYTES, DrawnPicture, LatestPictures
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@pytest.fixture(scope="module")
def setup():
    return set_up(SynchronousVendor(url="http://127.0.0.1:1"), draws=1)


def shown(nbytes: int) -> DrawnPicture:
    return DrawnPicture(np.zeros((1, nbytes // 3, 3), np.uint8), (), Resemblance(None, 0.0, None, True))


def test_a_picture_is_taken_once_and_only_for_the_same_bytes_draw_and_setup(setup):
    kept, (task, other), picture = LatestPictures(), tasks(1, 2), shown(30)

    def keep():
        kept.keep(setup, task, b"answer", picture)

    keep()
    assert kept.take(setup, other, b"answer") is None
    assert kept.take(setup, task, b"answer") is picture
    assert kept.take(setup, task, b"answer") is None
    keep()
    assert kept.take(setup, task, b"another") is None
    keep()
    assert kept.take(replace(setup), task, b"answer") is None


def test_little_is_kept_and_a_large_picture_not_at_all(setup):
    kept, work = LatestPictures(), tasks(1, 4)
    third = shown(KEPT_BYTES // 3)
    for task in work:
        kept.keep(setup, task, b"answer", third)
    assert [kept.take(setup, task, b"answer") is None for task in work] == [True, False, False, False]
    kept.keep(setup, work[0], b"answer", shown(KEPT_BYTES + 3))
    assert kept.take(setup, work[0], b"answer") is None
