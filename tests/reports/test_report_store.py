"""What is kept for the report comes back the same, also at full size; what is damaged or foreign is refused."""

import json
import os
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from support.audit_material import alike, audited_picture, calibration_of, curves, maps, refused_picture
from support.report_material import make_calibration, make_result
from support.report_material import maps as imagined

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
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import by_name, content_of, make_preview, parts_of, read_preview
from blackbox_conformal.pages.report.report_store import AUDITS, SPLITS, ReportStore
from blackbox_conformal.pages.report.slider_levels import stops_at, thresholds_at
from blackbox_conformal.study.audit.auditing import audit_splits
from blackbox_conformal.study.audit.conclude import conclude


def preview(identity="sha256:" + "a" * 64, name="a name"):
    rng = np.random.default_rng(0)
    scores = rng.random((160, 145)).astype(np.float32)
    scores[3, 4] = np.nan
    picture = rng.integers(0, 256, (160, 145, 3), dtype=np.uint8)
    errors = np.full((160, 145), 0.001, np.float32)
    errors[70, 60] = 0.1
    thresholds = np.array([-np.inf, 0.1, 0.5, np.inf])
    shown = {"low": picture[::4, ::4], "truth": picture, "errors": errors, "worst_at": [(0.1, 0.5)]}
    shown |= {"notes": ("one", "two"), "source": "a folder/a name.png", "losses": np.array([0, 0.2, 0.3, 0.4])}
    return make_preview("audit", name, identity, picture, scores, thresholds, **shown)


def same(one, other):
    for field in fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs, equal_nan=True), field.name
        else:
            assert ours == theirs, field.name


def test_previews_come_back_to_the_last_bit(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration)
    given = preview()
    assert given.errors is not None
    assert given.pairs
    same(given, read_preview(store.keep(given)))
    assert (len(store.previews("audit")), store.previews("result")) == (1, [])
    same(given, store.previews("audit")[0]())


def of_earlier_version(path):
    """The file of a preview as an earlier version wrote it, in place of this one's."""
    content = content_of(path.read_bytes())
    path.unlink()
    earlier = path.with_suffix(".json")
    earlier.write_text(json.dumps({"format": "blackbox-conformal preview 3", "name": content["name"]}))
    return earlier


def test_a_picture_that_an_earlier_version_kept_is_refused_with_what_makes_it_anew(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration)
    of_earlier_version(store.keep(preview()))
    (read,) = store.previews("audit")
    with pytest.raises(FileFormatError, match="audit or mask again in the same run folder"):
        read()
    path = store.keep(preview())
    (read,) = store.previews("audit")
    same(preview(), read())
    content = content_of(path.read_bytes())
    path.write_bytes(b"".join(parts_of({**content, "format": "blackbox-conformal preview 4"})))
    with pytest.raises(FileFormatError, match=r"an earlier version wrote it.*audit or mask again"):
        read_preview(path)


def test_that_a_mask_has_no_guarantee_is_kept(plain_run, tmp_path):
    (result, *_) = plain_run.results
    outside = {"status": "outside-calibration", "reason": "the guarantee does not speak of it"}
    marked = replace(result, certificate=result.certificate.model_copy(update=outside))
    path = ReportStore(tmp_path, plain_run.calibration).masked(marked)
    assert read_preview(path).no_guarantee == "No guarantee: the guarantee does not speak of it."


@pytest.mark.parametrize("of_before", [False, True])
def test_a_picture_that_is_kept_again_takes_the_place_of_the_one_before(plain_run, tmp_path, of_before):
    store = ReportStore(tmp_path, plain_run.calibration)
    before = store.keep(preview(name="before"))
    earlier = of_earlier_version(before) if of_before else None
    store.keep(preview(name="after"))
    assert earlier is None or not earlier.exists()
    assert [read().name for read in store.previews("audit")] == ["after"]


def test_pictures_that_are_asked_for_come_first(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration)
    for name in "abcdef":
        store.keep(preview(identity=name, name=name))
    assert [read().name for read in store.previews("audit", ["e", "absent", "b"])][:2] == ["e", "b"]
    assert sorted(read().name for read in store.previews("audit", ["e", "b"])) == list("abcdef")


def test_a_report_tells_pictures_of_one_name_apart_by_where_they_are_from(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration)
    sources = {"one": "2024/x.png", "two": "2025/x.png", "three": "2025/x.png", "four": ""}
    for identity, source in sources.items():
        store.keep(replace(preview(identity, "x" if source else "alone"), source=source))
    page = write_report(tmp_path, plain_run.calibration, None, [], tmp_path / "report.html", alpha=0.1).read_text()
    names = re.findall(r'class="card" data-name="([^"]*)"', page)
    assert {"alone", "x (2024/x.png)"} < set(names)
    alike = [name for name in names if name.startswith("x (2025/x.png, ")]
    assert len(set(alike)) == 2, "what tells them apart is a part of their digests"
    assert all(name in {*names} for name in re.findall(r"<figcaption[^>]*>([^:<]*): error", page))


def test_names_are_sorted_as_people_sort_them():
    names = ["IMG_10", "a10b10", "IMG_9", "a2", "IMG_0009b", "a", "IMG_100", "a10b2", "IMG_" + "9" * 5000]
    expected = ["IMG_9", "IMG_0009b", "IMG_10", "IMG_100", "IMG_" + "9" * 5000, "a", "a2", "a10b2", "a10b10"]
    assert sorted(names, key=by_name) == expected


def test_no_identity_leads_out_of_the_folder(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration)
    path = store.keep(preview(identity="../../../etc/passwd"))
    assert path.parent == store.folder
    assert path.resolve().is_relative_to(tmp_path.resolve())


def test_another_calibration_has_other_material(plain_run, hostile_run, tmp_path):
    ReportStore(tmp_path, plain_run.calibration).keep(preview())
    assert ReportStore(tmp_path, hostile_run.calibration).previews("audit") == []


def test_masked_pictures_are_kept(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration, (0.1,))
    result = plain_run.results[0]
    store.masked(result, low=np.zeros((24, 32, 3), np.uint8))
    found = store.previews("result")[0]()
    assert found.name == result.name
    assert found.low is not None
    assert found.notes[0].startswith(f"Its certificate is for alpha = {result.certificate.alpha:g}.")
    assert found.share(plain_run.calibration.threshold(0.1)) == result.mask.mean() == result.certificate.trusted_share


def test_audits_come_back_the_same(plain_run, tmp_path):
    assert alike(AUDITS.read(AUDITS.write(plain_run.audit, tmp_path / "audit.json")), plain_run.audit)


def test_every_kind_of_audit_comes_back(tmp_path):
    """Refused photographs, tiles, no leakage, broken bounds, infinite thresholds."""
    calibration = calibration_of(curves(0, 12))
    rng = np.random.default_rng(0)
    thresholds = [-np.inf, np.inf]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds, broken=k == 2) for k in range(4)]
    pictures.append(refused_picture("r", thresholds))
    for clusters in (None, ("p", "p", "q", "q", "s")):
        found = conclude(calibration, calibration.rule(), [0.01, 0.99], pictures, clusters=clusters)
        found = replace(found, calls=3, cached=4)
        assert alike(AUDITS.read(AUDITS.write(found, tmp_path / "audit.json")), found)
        assert (found.clusters, found.verdict) == (clusters, "contradicted")


def test_random_splits_come_back_the_same(plain_run, tmp_path):
    found = audit_splits(plain_run.calibration, [0.02, 0.1, 0.3], splits=7)
    assert SPLITS.read(SPLITS.write(found, tmp_path / "splits.json")) == found
    assert found.notes
    assert ReportStore(plain_run.folder, plain_run.calibration).splits() is not None
    assert ReportStore(tmp_path, plain_run.calibration).splits() is None


WRONG = {"format": ["another"], "size": [[10**9, 10**9], [160, 146]], "block": [0], "delivered": ['"><script>']}

WRONG |= {"ceiling": [bytes(4 * 160 * 145 - 1), bytes(4 * 160 * 145 + 4), None], "thresholds": [["ninety"]]}

WRONG |= {"unknown": [1], "version": [True], "kind": ["../x"], "worst": [[{}]], "pairs": [[{}]], "errors": [bytes(7)]}

CHANGES = [lambda content, name=name, value=value: {name: value} for name in WRONG for value in WRONG[name]]

CHANGES += [lambda content: dict.fromkeys(("thresholds", "shares", "losses"), bytes(300 * 8))]

CHANGES += [lambda content, end=end: {"shares": content["shares"][:end]} for end in (-8, 0, -1)]


@pytest.mark.parametrize("change", [*CHANGES, lambda content: {"losses": content["losses"][:8]}, None])
def test_damaged_previews_are_refused(plain_run, tmp_path, change):
    path = ReportStore(tmp_path, plain_run.calibration).keep(preview())
    content = content_of(path.read_bytes())
    if change is None:
        del content["ceiling"]
    else:
        content |= change(content)
    path.write_bytes(b"".join(parts_of(content)))
    with pytest.raises(FileFormatError, match=r"preview file|another file|was written in format"):
        read_preview(path)


@pytest.mark.parametrize("kept", [AUDITS, SPLITS])
def test_damaged_audits_and_splits_are_refused(tmp_path, kept):
    texts = ["", "[]", "{}", "\x00", "[" * 100_000, '{"curves": "AAAA"}', '{"levels": [{}], "notes": []}']
    for text in (*texts, '{"levels": 3, "notes": []}'):
        (tmp_path / "kept.json").write_text(text)
        with pytest.raises(FileFormatError):
            kept.read(tmp_path / "kept.json")


def test_missing_material_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileFormatError, match="nowhere"):
        read_preview(tmp_path / "nowhere.json")


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
    assert (set(more) - set(usual), more[0.07777]) == ({0.07777, 0.0333333}, calibration.threshold(0.07777))
    assert len(usual) <= 240
    assert list(more) == sorted(more)


def test_every_threshold_is_exact(store):
    truth, delivered, low, scores, _ = imagined(1, 70, 90)
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
    _, delivered, _, scores, errors = imagined(2, 32, 40)
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


ALTERED = {
    "version": ["2"],
    "unknown": [1],
    "size": [[0, 5], [10**6, 5]],
    "kind": ["../x"],
    "digests": [[1]],
    "notes": [5],
}

ALTERED |= {"losses": ["AAAAAAAAAAA="], "shares": ["AAAAAAAAAAA="], "thresholds": ["", "AAAAAAAAAAAAAAAAAAAAAA=="]}

ALTERED |= {"certified": [[{"alpha": 1}], {"alpha": 1}], "identity": ["another picture's"], "notes": [5]}


@pytest.mark.parametrize("change", [{name: value} for name, values in ALTERED.items() for value in values])
def test_what_is_read_is_checked(store, change):
    _, delivered, _, scores, _ = imagined(3, 8, 9)
    path = store.keep("result", "x", "id", scores, {"delivered": delivered})
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(FileFormatError, match=r"damaged|format '2'"):
        read_entry(path)
