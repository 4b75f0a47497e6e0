"""The score `learned`: which weights it takes, by which name, and what it makes of pictures of every kind."""

import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.synthetic import draw, photograph, reduced, sketch_of

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.scores import _weights_file
from blackbox_conformal.method.scores._learned_network import NAMES, own_network
from blackbox_conformal.method.scores._weights_file import MOST_BYTES
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.support import catalog

TRUTH = photograph(1, (24, 32))


def weights(**changes):
    """The package's own arrays with some of them changed or, for None, left out."""
    arrays = {**own_network().arrays, **changes}
    return {name: values for name, values in arrays.items() if values is not None}


def written(path: Path, arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


@pytest.fixture
def others(tmp_path):
    """A file of other weights."""
    return written(tmp_path / "others.npz", weights(tail_bias=np.ones(1, np.float32)))


def learned(**parameters):
    return catalog.load("scores", "learned", **parameters)


def made(score, delivered=TRUTH, scale=4):
    return accumulated_map(score, [delivered], Context(delivered, reduced(delivered, scale), scale))


def test_the_packages_own_weights_are_small():
    assert sum(values.nbytes for values in own_network().arrays.values()) < 100_000


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("kind", ["photograph", "flat", "black", "white", "noise"])
def test_every_picture_gets_prices(kind, scale):
    size = (24, 24, 3)
    values = {"flat": 77, "black": 0, "white": 255}
    noise = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    picture = np.full(size, values[kind], np.uint8) if kind in values else noise if kind == "noise" else TRUTH
    picture = picture[: picture.shape[0] // 24 * 24, :24]
    multipliers = made(learned(), np.ascontiguousarray(picture), scale)
    assert multipliers.dtype == np.float32
    assert np.isfinite(multipliers).all()
    assert multipliers.min() > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1)])
def test_an_input_of_few_pixels_is_enough(shape):
    small = np.random.default_rng(1).integers(0, 256, (4 * shape[0], 4 * shape[1], 3), dtype=np.uint8)
    assert made(learned(), small).shape == small.shape[:2]


def test_the_pixels_of_a_cell_are_tied():
    multipliers = made(learned(), draw(TRUTH, 2))
    cells = multipliers.reshape(6, 4, 8, 4)
    assert (cells == cells[:, :1, :, :1]).all()
    assert np.unique(multipliers).size > 1


def test_threads_change_nothing():
    expected = made(learned()).tobytes()
    found = []
    threads = [threading.Thread(target=lambda: found.append(made(learned()).tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_other_weights_are_another_score_and_no_place_is_written_down(others):
    own, other = learned().specification(), learned(weights=others).specification()
    assert own["digest"] != other["digest"]
    assert str(others) not in str(other)
    assert set(other) == {"name", "digest"}
    assert (made(learned(weights=others)) > made(learned())).any()


def test_a_calibration_gets_its_weights_by_their_digest(others):
    fitted = learned(weights=others)
    with pytest.raises(UsageError, match=r"expected the weights sha256:.* Name the file of those weights with --score"):
        catalog.of_specification("scores", fitted.specification())
    content = others.read_bytes()
    others.unlink()
    again = catalog.of_specification("scores", fitted.specification(), weights=fitted.fitted_weights)
    np.testing.assert_array_equal(made(again), made(fitted))
    assert again.fitted_weights == content
    assert learned().fitted_weights is None
    assert learned().specification() == catalog.of_specification("scores", learned().specification()).specification()


def test_it_is_typed_with_its_file(others):
    assert catalog.specification_text(learned(weights=others)) == f"learned:weights={others}"
    assert catalog.specification_text(learned()) == "learned"


def test_a_calibration_that_names_a_file_is_refused_before_it_is_opened(tmp_path):
    specification = {**learned().specification(), "weights": str(tmp_path / "missing.npz")}
    with pytest.raises(UsageError, match="names no file or folder, as calibrations do not; got weights"):
        catalog.of_specification("scores", specification)


def test_a_file_that_was_tampered_with_is_another_score_or_none(others):
    digest = learned(weights=others).digest
    raw = others.read_bytes()
    others.write_bytes(raw[:-30])
    with pytest.raises(UsageError, match="expected the weights of a score to be an npz file"):
        learned(weights=others)
    written(others, weights(tail_bias=np.zeros(1, np.float32)))
    with pytest.raises(UsageError, match=f"expected the weights {digest}; got sha256:"):
        learned(weights=others, digest=digest)


WRONG = {
    "of a wrong shape": ({"skip": np.zeros((1, 3), np.float32)}, r"skip of shape \(1, 23\) and dtype float32"),
    "of another precision": ({"tail": np.zeros((1, 24))}, "tail of shape .* and dtype float32"),
    "without a layer": ({"body_1": None}, "the arrays body_0"),
    "with an array more": ({"body_9": np.zeros(1, np.float32)}, "the arrays body_0"),
    "without a head": ({"head": None}, "an array head of 1 to 64 rows; got none"),
    "with too many channels": ({"head": np.zeros((65, len(NAMES)), np.float32)}, "an array head of 1 to 64 rows"),
    "that are not finite": ({"tail_bias": np.full(1, np.nan, np.float32)}, "tail_bias within ±1000"),
    "that are too large": ({"tail_bias": np.full(1, 2000, np.float32)}, "tail_bias within ±1000"),
    "that unpack to much": ({"more": np.zeros(MOST_BYTES, np.uint8)}, f"a file of at most {MOST_BYTES} bytes"),
    "taught by other things": (
        {"taught": np.zeros((2, 463), np.uint8)},
        "photographs of a digest and a thumbnail each",
    ),
    "that run code": ({"head": np.array([print], object)}, "got ValueError: Python objects, which may hold code"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_weights_are_refused(kind, tmp_path):
    changes, message = WRONG[kind]
    file = written(tmp_path / "weights.npz", weights(**changes))
    with pytest.raises(UsageError, match=message):
        learned(weights=file)


def test_weights_name_the_photographs_that_taught_them(tmp_path):
    taught = [KnownPhotograph.of(sketch_of(name)) for name in ("one", "two")]
    file = tmp_path / "taught.npz"
    file.write_bytes(_weights_file.written(weights(), taught))
    score = learned(weights=file)
    assert score.taught_by == tuple(taught)
    assert score.digest != learned().digest, "with other photographs they are other weights"
    assert learned().taught_by == ()
    np.testing.assert_array_equal(made(score), made(learned()))


def test_a_file_that_is_no_archive_or_not_there_is_refused(tmp_path):
    file = tmp_path / "weights.npz"
    with pytest.raises(UsageError, match=r"expected weights of a score in .*No such file"):
        learned(weights=file)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    for raw in (b"", b"not weights", buffer.getvalue(), bytes(MOST_BYTES + 1)):
        file.write_bytes(raw)
        with pytest.raises(UsageError, match="expected the weights of a score to be"):
            learned(weights=file)


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(1048576, 1048576)", "(0, 1099511627776)", "(-3,)"])
def test_an_array_that_says_to_be_larger_than_it_is_takes_no_memory(shape, tmp_path):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    file = tmp_path / "weights.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("head.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))
    with pytest.raises(UsageError, match="whose shape is not that of its content"):
        learned(weights=file)


@pytest.mark.parametrize("scale", [1, 17])
def test_a_scale_without_cells_is_refused(scale):
    with pytest.raises(UsageError, match="learned needs a vendor that enlarges by 2 to 16"):
        made(learned(), np.zeros((34, 34, 3), np.uint8), scale)


def test_it_is_no_part_of_a_pair():
    with pytest.raises(UsageError, match="expected two scores that follow from their names; learned depends on a file"):
        catalog.load("scores", "weighted", first="learned")


def test_a_calibration_of_its_old_name_is_made_anew():
    with pytest.raises(UsageError, match=r"got 'price'; it is called learned now\. .* which makes no call again"):
        catalog.of_specification("scores", {**learned().specification(), "name": "price"})
