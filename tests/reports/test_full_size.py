"""What is kept of a picture at full size: exact at every threshold, replaced whole, checked when it is read."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from support.report_material import make_calibration, make_result, maps

from blackbox_conformal.errors import FileFormatError, IncompleteError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.pages.report.full_size import (
    FullSizeStore,
    packed,
    part_path,
    read_entry,
    unpacked,
    viewer_levels,
)
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import stops_at, thresholds_at


@pytest.fixture(scope="module")
def calibration():
    return make_calibration(hostile=False)


@pytest.fixture
def store(calibration, tmp_path):
    return FullSizeStore(tmp_path, calibration, (0.0777,))


def test_usual_levels_stay_whatever_is_asked_for(calibration):
    usual, more = (
        {stop.alpha: stop.threshold for stop in stops_at(calibration, viewer_levels(calibration, wanted))}
        for wanted in ((), [0.07777, 0.1, 0.0333333])
    )
    assert list(usual.values()) == thresholds_at(calibration, list(usual)).tolist()
    assert usual.items() <= more.items()
    assert set(more) - set(usual) == {0.07777, 0.0333333}
    assert more[0.07777] == calibration.threshold(0.07777)
    assert len(usual) <= 240
    assert list(more) == sorted(more)


def test_every_threshold_is_exact(store):
    truth, delivered, low, scores, _ = maps(1, 70, 90)
    scores[3, 4], scores[5, 6] = np.nan, np.inf
    entry = read_entry(store.keep("audit", "one", "id", scores, {"delivered": delivered, "low": low, "truth": truth}))
    content = part_path(store.folder, entry.stem, "levels").read_bytes()
    levels = unpacked(content, entry.size)
    for place, threshold in enumerate(entry.thresholds):
        mask = trusted(scores, float(threshold))
        assert ((levels <= place) == mask).all()
        assert entry.shares[place] == mask.mean()
    assert (read_image(part_path(store.folder, entry.stem, "truth")).pixels == truth).all()
    assert entry.alphas == (0.0777,)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (33, 17)])
def test_codes_come_back(size):
    codes = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    assert (unpacked(packed(codes), size) == codes).all()
    for wrong in ((size[0] + 1, size[1]), (size[0], size[1] + 1)):
        with pytest.raises(IncompleteError, match="damaged"):
            unpacked(packed(codes), wrong)
    with pytest.raises(IncompleteError, match="damaged"):
        unpacked(b"no zlib", size)


def test_a_file_is_linked_and_a_later_one_replaces_it(store, tmp_path):
    _, delivered, _, scores, errors = maps(2, 32, 40)
    product = tmp_path / "x-image.png"
    product.write_bytes(image_png(delivered))
    kept = store.keep("result", "x", "id", scores, {"delivered": product}, errors=errors)
    path = part_path(store.folder, read_entry(kept).stem, "delivered")
    assert os.path.samefile(path, product)
    product.unlink()
    assert (read_image(path).pixels == delivered).all()
    again = store.keep("result", "x", "id", scores, {"delivered": np.ascontiguousarray(delivered[::-1])})
    assert again == kept
    assert (read_image(path).pixels == delivered[::-1]).all()
    assert sorted(read_entry(kept).digests) == ["delivered", "levels"]
    assert sorted(one.name for one in store.folder.iterdir()) == sorted(
        [kept.name, path.name, part_path(store.folder, kept.stem, "levels").name]
    )


def test_masked_pictures_keep_what_was_certified_and_later_notes(calibration, tmp_path):
    store = ReportStore(tmp_path, calibration)
    result = make_result(calibration, "m", 5, 0.1)
    kept = store.masked(result, result.low_resolution)
    store.add_doubt(kept, result.certificate.doubted("the answers drifted"))
    entry = read_entry(kept.parent / "full-size" / f"{kept.stem}.json")
    assert (entry.notes[-1], [one.alpha for one in entry.certified]) == ("the answers drifted", [0.1])
    assert float.fromhex(entry.certified[0].threshold_hex) in entry.thresholds
    assert entry.losses is None


def test_a_picture_masked_at_several_levels_keeps_each_certificate_until_it_is_drawn_anew(calibration, tmp_path):
    def masked(alpha, seed=5):
        store = ReportStore(tmp_path, calibration, (alpha,))
        result = make_result(calibration, "m", 5, alpha)
        if seed != 5:
            result = replace(result, image=make_result(calibration, "m", seed, alpha).image)
        kept = store.masked(result, result.low_resolution)
        return read_entry(kept.parent / "full-size" / f"{kept.stem}.json")

    for alpha in (0.1234, 0.2, 0.1234):
        entry = masked(alpha)
    assert [one.alpha for one in entry.certified] == [0.1234, 0.2]
    for one in entry.certified:
        assert str(one.alpha) in one.statement
        assert float.fromhex(one.threshold_hex) in entry.thresholds
    assert set(entry.alphas) == {0.1234, 0.2}
    assert [one.alpha for one in masked(0.15, seed=6).certified] == [0.15], "another picture was delivered"


def test_an_entry_of_an_earlier_version_is_refused_with_what_makes_it_anew(calibration, tmp_path):
    store = ReportStore(tmp_path, calibration)
    result = make_result(calibration, "m", 5, 0.1)
    kept = store.masked(result, result.low_resolution)
    path = kept.parent / "full-size" / f"{kept.stem}.json"
    content = json.loads(path.read_bytes())
    del content["version"]
    path.write_text(json.dumps({**content, "format": "blackbox-conformal full-size picture 1"}))
    with pytest.raises(FileFormatError, match="Mask or audit the picture again in the same run folder"):
        read_entry(path)
    store.masked(result, result.low_resolution)
    assert read_entry(path).certified


def test_nothing_is_kept_where_it_is_left_out(calibration, tmp_path):
    store = ReportStore(tmp_path, calibration, full_size=False)
    result = make_result(calibration, "m", 5, 0.1)
    store.add_doubt(store.masked(result, result.low_resolution), result.certificate.doubted("a note"))
    assert not list(tmp_path.glob("**/full-size"))


WRONG = {
    "version": ["2"],
    "unknown": [1],
    "size": [[0, 5], [10**6, 5]],
    "kind": ["../x"],
    "digests": [[1]],
    "notes": [5],
}
WRONG |= {"losses": ["AAAAAAAAAAA="], "shares": ["AAAAAAAAAAA="], "thresholds": ["", "AAAAAAAAAAAAAAAAAAAAAA=="]}
WRONG |= {"certified": [[{"alpha": 1}], {"alpha": 1}], "identity": ["another picture's"], "notes": [5]}


@pytest.mark.parametrize("change", [{name: value} for name, values in WRONG.items() for value in values])
def test_what_is_read_is_checked(store, change):
    _, delivered, _, scores, _ = maps(3, 8, 9)
    path = store.keep("result", "x", "id", scores, {"delivered": delivered})
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(FileFormatError, match=r"damaged|format '2'"):
        read_entry(path)
