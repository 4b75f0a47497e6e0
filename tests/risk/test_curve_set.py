import math
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blackbox_conformal.errors import CalibrationError, FileFormatError
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import _HEADER, CurveSet, pool


def random_curve(rng, records):
    scores = np.unique(rng.random(records, np.float32) - np.float32(0.3))
    losses = np.unique(rng.random(records, np.float32) + np.float32(1e-3))
    size = min(scores.size, losses.size)
    return RiskCurve(scores[:size], losses[:size], 1.5)


def photographic_curves(count, size=128):
    rng = np.random.default_rng(3)
    for _ in range(count):
        scores = rng.gamma(1.0, 1.0, (size, size)).astype(np.float32)
        yield RiskCurve.from_maps(scores, np.minimum(scores * rng.random(scores.shape) / 5, 1.9), bound=1.95757)


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(0, 1000))
def test_packing_loses_nothing(sizes, seed):
    rng = np.random.default_rng(seed)
    curves = [random_curve(rng, size) for size in sizes] + [RiskCurve.worst(1.5)]
    packed = CurveSet.from_curves(curves)
    again = CurveSet.from_bytes(packed.to_bytes())
    assert list(again) == curves
    assert again.to_bytes() == packed.to_bytes()


def test_areas_and_tolerance_survive():
    curves = list(photographic_curves(3))
    assert list(CurveSet.from_bytes(CurveSet.from_curves(curves).to_bytes())) == curves
    share = [
        RiskCurve.from_maps(np.eye(4), np.eye(4), bound=1.0, tolerance=0.25),
        RiskCurve.worst(1.0, "share", tolerance=0.25),
    ]
    assert list(CurveSet.from_bytes(CurveSet.from_curves(share).to_bytes())) == share
    rest = [
        RiskCurve.from_maps(np.eye(4), np.eye(4), bound=1.5, left_out=0.25),
        RiskCurve.worst(1.5, "all-but", left_out=0.25),
    ]
    assert list(CurveSet.from_bytes(CurveSet.from_curves(rest).to_bytes())) == rest


def test_a_curve_takes_less_than_eight_kilobytes():
    curves = CurveSet.from_curves([*photographic_curves(6, 128), *photographic_curves(6, 512)])
    assert curves.scores.size / len(curves) > 900
    assert len(curves.to_bytes()) < 8000 * len(curves)


def test_vectorised_losses_are_those_of_each_curve():
    rng = np.random.default_rng(4)
    curves = [random_curve(rng, size) for size in (0, 5, 0, 9, 1)] + [RiskCurve.worst(1.5)]
    packed = CurveSet.from_curves(curves)
    for t in (-math.inf, -0.4, 0.0, float(curves[3].scores[4]), 0.5, math.inf):
        assert packed.losses_at(t).tolist() == [curve.loss(t) for curve in curves]
    picked = packed.subset(np.array([5, 3, 0]))
    assert list(picked) == [curves[5], curves[3], curves[0]]
    assert packed[-1] == curves[-1]
    with pytest.raises(IndexError, match="below 6"):
        packed[6]


def test_trusted_shares_are_those_of_each_curve():
    curves = list(photographic_curves(3))
    packed = CurveSet.from_curves([*curves, RiskCurve.worst(1.95757)])
    for t in (-math.inf, 0.5, 2.0, math.inf):
        assert packed.trusted_shares_at(t).tolist() == [curve.trusted_share(t) for curve in curves] + [0.0]


def test_curves_that_do_not_belong_together_are_refused():
    one = RiskCurve(np.array([0.0]), np.array([0.5]), 1.0)
    with pytest.raises(CalibrationError, match="in curve 1"):
        CurveSet.from_curves([one, RiskCurve(np.array([0.0]), np.array([0.5]), 2.0)])
    with pytest.raises(CalibrationError, match="at least one"):
        CurveSet.from_curves([])


GOOD = CurveSet.from_curves(
    [RiskCurve(np.array([0.0, 1.0]), np.array([0.5, 0.75]), 1.0), RiskCurve.worst(1.0)]
).to_bytes()
HEADER = _HEADER


def with_header(**changes):
    names = ("magic", "version", "share", "curves", "records", "areas", "bound", "tolerance", "stored")
    fields = dict(zip(names, HEADER.unpack_from(GOOD), strict=True))
    return HEADER.pack(*{**fields, **changes}.values()) + GOOD[HEADER.size :]


def with_stream(raw):
    stream = zlib.compress(raw)
    return with_header(stored=len(stream))[: HEADER.size] + stream


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:20],
        GOOD[:-1],
        GOOD + b"x",
        b"X" + GOOD[1:],
        with_header(version=2),
        with_header(share=2),
        with_header(share=8, tolerance=0.5),
        with_header(share=1),
        with_header(tolerance=0.5),
        with_header(bound=math.nan),
        with_header(bound=0.6),
        with_header(curves=0),
        with_header(curves=3),
        with_header(curves=2**31),
        with_header(records=2**62),
        with_header(areas=2**40),
        with_header(records=2),
        with_header(stored=0),
        with_stream(bytes(40)),
        with_stream(bytes(39)),
        with_stream(b"\xff" * 40),
    ],
)
def test_damaged_and_hostile_bytes_are_refused(data):
    with pytest.raises(FileFormatError):
        CurveSet.from_bytes(data)


def test_a_decompression_bomb_is_refused_without_taking_its_memory():
    stream = zlib.compress(bytes(64 * 2**20), 9)
    bomb = with_header(stored=len(stream))[: HEADER.size] + stream
    with pytest.raises(FileFormatError, match="expected 40 bytes"):
        CurveSet.from_bytes(bomb)
    lie = struct.pack("<Q", 0)
    with pytest.raises(FileFormatError, match="cannot be"):
        CurveSet.from_bytes(with_header(records=10**8, stored=len(lie))[: HEADER.size] + lie)


@pytest.mark.parametrize(
    ("scores", "losses"),
    [([0, 1], [0.5, 0.5]), ([0, 0], [0.4, 0.5]), ([1, 0], [0.4, 0.5]), ([0, 1], [0.5, 1.5]), ([0, 1], [0.0, 0.5]),
     ([0, math.nan], [0.4, 0.5]), ([0, math.inf], [0.4, 0.5]), ([0, 1], [0.4, math.nan])],
)  # fmt: skip
def test_records_that_are_no_staircase_are_refused(scores, losses):
    nothing, none = np.empty(0, np.float32), np.zeros(2, np.int64)
    records = (np.array([0, 2]), np.array(scores, np.float32), np.array(losses, np.float32))
    data = CurveSet(*records, none, nothing, nothing, 1.0).to_bytes()
    with pytest.raises(FileFormatError, match="does not increase or leaves its range"):
        CurveSet.from_bytes(data)


def test_any_flipped_byte_is_refused_or_still_a_valid_set():
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(300):
        data = bytearray(GOOD)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            found = CurveSet.from_bytes(bytes(data))
        except FileFormatError:
            refused += 1
        else:
            assert all(curve.bound > 0 for curve in found)
    assert refused > 200


def test_the_mean_is_exact_up_to_a_float32_rounded_up():
    rng = np.random.default_rng(13)
    curves = [RiskCurve(np.sort(rng.permutation(30)[:7]), np.sort(rng.random(7)) + 0.01, 1.1) for _ in range(7)]
    pooled = pool(CurveSet.from_curves(curves), ("a", "b", "a", "a", "b", "c", "c"))
    assert len(pooled) == 3
    for mean, members in zip(pooled, ((0, 2, 3), (1, 4), (5, 6)), strict=True):
        for t in (-math.inf, 0.0, 1.0, 5.5, 12.0, 29.0, math.inf):
            exact = sum(Fraction(curves[i].loss(t)) for i in members) / len(members)
            assert exact <= Fraction(mean.loss(t)) <= exact * (1 + Fraction(1, 2**22))


@pytest.mark.parametrize("bits", [10, 23, 40, 52, 53])
def test_a_mean_barely_above_a_float32_is_not_rounded_down(bits):
    curves = [RiskCurve(np.ones(1), np.array([loss]), 1.1) for loss in (1.0, 2.0**-bits)]
    mean = pool(CurveSet.from_curves(curves), ("a", "a"))[0].loss(math.inf)
    assert Fraction(mean) >= (1 + Fraction(1, 2**bits)) / 2
    assert mean <= np.nextafter(np.float32((1 + 2.0**-bits) / 2), np.float32(1))


def test_a_refused_tile_weighs_on_its_photograph():
    good, refused = RiskCurve(np.empty(0), np.empty(0), 1.0), RiskCurve.worst(1.0)
    mean = pool(CurveSet.from_curves([good, refused]), ("a", "a"))[0]
    assert (mean.loss(-math.inf), mean.loss(-1e30), mean.loss(math.inf)) == (0, 0.5, 0.5)
    assert pool(CurveSet.from_curves([refused, refused]), ("a", "a"))[0] == refused
