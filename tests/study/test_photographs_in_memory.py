"""Arrays, Pillow images and bytes wherever photographs go in; what was paid for them is kept and found again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.study.pictures_in_memory import as_files, photograph_paths

CHOICES: dict[str, Any] = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    PillowImage.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_arrays_calibrate_as_their_files_do_and_pay_nothing_again(desk, vendor, server):
    write_photographs(desk / "photographs", range(6))
    of_files = bc.calibrate(vendor, "photographs", max_cost=1, **CHOICES)
    paid = server.account.paid
    in_memory = {f"p{seed}": photograph(seed) for seed in range(6)}
    in_memory["p1"] = PillowImage.fromarray(photograph(1))
    in_memory["p2"] = png(photograph(2))
    in_memory["p3"] = io.BytesIO(png(photograph(3)))
    in_memory["p4"] = desk / "photographs" / "p4.png"
    assert bc.calibrate(vendor, in_memory, max_cost=1, **CHOICES).digest == of_files.digest
    pairs = ((name, photograph(int(name[1:]))) for name in in_memory)
    assert bc.calibrate(vendor, pairs, max_cost=1, **CHOICES).digest == of_files.digest
    assert server.account.paid == paid == 12
    assert list((desk / "temporary").iterdir()) == []


def test_what_was_paid_is_kept_where_no_run_folder_is_named(desk, vendor, server):
    arrays = [photograph(seed) for seed in range(6)]

    def break_off(what, done, total):
        if what == "calibrating":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bc.calibrate(vendor, arrays, max_cost=1, progress=break_off, **CHOICES)
    assert server.account.paid > 0
    assert [folder.name for folder in (desk / "runs").iterdir()]
    calibration = bc.calibrate(vendor, arrays, max_cost=1, **CHOICES)
    assert calibration.n == 6
    assert server.account.paid == 12


def test_a_certificate_without_a_file_of_the_users(desk, vendor):
    calibration = bc.calibrate(vendor, [photograph(seed) for seed in range(10)], max_cost=1, **CHOICES)
    unseen = np.stack([photograph(seed) for seed in range(10, 14)])
    audit = bc.audit(vendor, unseen, calibration, 0.9, max_cost=1)
    assert audit.n == 4
    small = reduced(photograph(20), 4)
    results = bc.mask_all(
        vendor, [small, ("named", PillowImage.fromarray(small)), png(small)], calibration, 0.9, max_cost=1
    )
    assert [result.name for result in results] == [results[0].name, "named", results[2].name]
    assert {result.certificate.alpha for result in results} == {0.9}
    assert all(np.array_equal(result.image, results[0].image) for result in results)
    assert {path.name for path in desk.iterdir()} == {"runs", "temporary"}


def test_every_other_command_takes_them(desk, vendor):
    arrays = {f"p{seed}": photograph(seed) for seed in range(10)}
    calibration = bc.calibrate(vendor, arrays, max_cost=1, **CHOICES)
    calibration.save("calibration.json")
    assert bc.plan(vendor, arrays, **CHOICES).cached == 20
    both = {"one": vendor, "other": (vendor, {"score": "patch-variance"})}
    assert bc.compare(both, arrays, 0.9, max_cost=1, **CHOICES).n_evaluation == 5
    tuned = bc.tune(
        vendor, arrays, 0.9, candidates=["pixel-variance"], max_cost=1, run="tuned", nothing_chosen=True, **CHOICES
    )
    assert tuned.calibration is not None
    assert bc.watch(vendor, "calibration.json", arrays, canaries=2, max_cost=1).number == 1
    inputs = [reduced(pixels, 4) for pixels in arrays.values()]
    assert bc.compare_inputs(inputs, calibration).n == 10
    degraded = bc.degrade(arrays, "inputs")
    assert [one.photograph for one in degraded] == [Path(name) for name in arrays]
    assert [one.input for one in degraded] == [Path("inputs") / f"{name}.png" for name in arrays]
    assert list((desk / "temporary").iterdir()) == []


def test_inputs_come_out_as_arrays_where_no_folder_is_named(desk):
    arrays = {f"p{seed}": photograph(seed) for seed in range(3)}
    made = bc.degrade(arrays, scale=4)
    for one, pixels in zip(made, arrays.values(), strict=True):
        assert np.array_equal(one.pixels, reduced(pixels, 4))
    assert {path.name for path in desk.iterdir()} == {"temporary"}
    with pytest.raises(UsageError, match=r"none was named\. Give out='inputs', or take pixels"):
        made[0].input  # noqa: B018
    (written, *_) = bc.degrade(arrays, "inputs", scale=4)
    assert np.array_equal(np.asarray(PillowImage.open(written.input)), written.pixels)


def test_groups_go_by_the_names_of_arrays(desk, vendor):
    arrays = {name: photograph(seed) for seed, name in enumerate(("eins", "zwei", "drei", "vier"))}
    groups = {"eins": "a", "zwei": "a", "drei": "b", "vier": "b"}
    calibration = bc.calibrate(vendor, arrays, groups=groups, max_cost=1, **CHOICES)
    assert {image.name: image.group for image in calibration.images} == groups


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"grey": np.zeros((8, 8), np.uint8)}, ImageError, r"grey: expected .* np\.stack\(\[pixels\] \* 3, axis=2\)"),
        (
            [("float", np.zeros((8, 8, 3)))],
            ImageError,
            r"float: expected .*\(255 \* pixels\)\.round\(\)\.astype\('uint8'\)",
        ),
        ({"a/b": photograph(1)}, UsageError, "expected a name that a file can have; got 'a/b'"),
        ({"": photograph(1)}, UsageError, "expected a name that a file can have; got ''"),
        ({"x" * 300: photograph(1)}, UsageError, "expected a name that a file can have"),
        ([("one", photograph(1), 3)], UsageError, "expected a pair of name and picture; got 3 values"),
        ({"one": "nowhere.png"}, UsageError, "nowhere.png cannot be read: No such file"),
        (5.0, UsageError, r"such as \{'name': array\}; got float"),
        ([3], UsageError, "expected a picture as a path, bytes, .* got int"),
    ],
)
def test_what_cannot_be_a_photograph_is_told(given, error, said):
    with pytest.raises(error, match=said), as_files(given) as files:
        photograph_paths(files)


def test_one_picture_is_one_and_a_stack_is_several():
    for given in (photograph(1), png(photograph(1)), PillowImage.fromarray(photograph(1))):
        with as_files(given) as files:
            assert len(files) == 1
    with as_files(np.stack([photograph(1), photograph(2)])) as files:
        assert (len(files), photograph_paths(files)) == (2, files)
    assert not any(file.exists() for file in files)
