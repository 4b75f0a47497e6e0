"""Room for a picture: writable, of its own, and given back when it is dropped."""

import sys
from pathlib import Path

import numpy as np
import pytest

from blackbox_conformal.study.stages.prepare import picture_room

MIB = 2**20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_rooms_are_apart_and_can_be_filled() -> None:
    one, other = picture_room(3, 5), picture_room(3, 5)
    one[...] = 7
    other[...] = 9
    assert (one.shape, one.dtype, one.flags.c_contiguous, one.flags.writeable) == ((3, 5, 3), np.uint8, True, True)
    assert (one == 7).all()
    assert (other == 9).all()
    view = one[1:]
    del one
    assert (view == 7).all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_room_that_is_dropped_is_given_back_at_once() -> None:
    kept = [picture_room(1000, 2000) for _ in range(3)]
    for room in kept:
        room[...] = 1
    full = resident()
    # Dropped from the middle, where an allocator that grows and shrinks at its end could give nothing back.
    del kept[1], room
    assert full - resident() > 4 * MIB
