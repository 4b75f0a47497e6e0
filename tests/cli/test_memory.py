"""`--memory`, and photographs decoded once: fewer at a time, and a picture that cannot fit refused by its header."""

import gc
import io
import struct
import threading
import weakref
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from support.command_line import ended
from support.synthetic import photograph, reduced, write_draws, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.images import read
from blackbox_conformal.study.audit import measure
from blackbox_conformal.study.calibrate import calibrating
from blackbox_conformal.study.choose.contestants import bytes_a_pixel as bytes_a_pixel_of_draws
from blackbox_conformal.study.choose.tuning import bytes_a_pixel, default_candidates, parse_candidates
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.python.functions import mask_all
from blackbox_conformal.study.stages import memory, prepare
from blackbox_conformal.study.stages.evaluate import calibration_curves
from blackbox_conformal.study.stages.memory import BASE_BYTES, PIXEL_BYTES, audit_bytes_a_pixel, picture_bytes

SIZE = (64, 80)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_photographs(tmp_path / "photographs", range(6))
    write_draws(tmp_path / "outputs", range(6), 3)
    vendor = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=synthetic"]
    choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]
    return [*vendor, *choices, "--run", str(tmp_path / "run"), "--yes"]


class Watch:
    """Notes how many photographs are being evaluated whenever one is; they wait for each other for `patience` s."""

    def __init__(self, watched: Callable[..., Any]) -> None:
        self._watched = watched
        self._under_way = 0
        self._lock = threading.Lock()
        self.start(0.0)

    def start(self, patience: float) -> None:
        self.patience = patience
        self.seen: list[int] = []
        self._met = threading.Event()

    def __call__(self, *given, **named):
        with self._lock:
            self._under_way += 1
            self.seen.append(self._under_way)
            if self._under_way > 1:
                self._met.set()
        try:
            self._met.wait(self.patience)
            return self._watched(*given, **named)
        finally:
            with self._lock:
                self._under_way -= 1


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch(calibration_curves)
    monkeypatch.setattr(calibrating, "calibration_curves", watch)
    monkeypatch.setattr(memory, "cpu_count", lambda: 4)
    return watch


def amount(pictures: float) -> str:
    return f"{(BASE_BYTES + pictures * picture_bytes(SIZE)) / 2**20:.6f}MiB"


@pytest.mark.parametrize(("pictures", "most", "patience"), [(1.5, 1, 0.2), (2.5, 2, 20)])
def test_fewer_photographs_at_a_time(tmp_path, arguments, watch, pictures, most, patience):
    watch.start(patience)
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "--memory", amount(pictures), "-q"]) == 0
    assert len(watch.seen) == 6
    assert max(watch.seen) == most


def test_the_cap_changes_no_result_and_an_input_counts_as_large_as_its_answer(tmp_path, arguments, capsys):
    photographs = str(tmp_path / "photographs")
    assert run(["calibrate", photographs, *arguments, "--out", str(tmp_path / "free.json"), "-q"]) == 0
    capped = ["--memory", amount(1.5), "--out", str(tmp_path / "capped.json")]
    assert run(["calibrate", photographs, *arguments, *capped, "-q"]) == 0
    assert (tmp_path / "free.json").read_bytes() == (tmp_path / "capped.json").read_bytes()
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "-q"]) == 0
    (tmp_path / "wide.png").write_bytes(header_only(3000, 2000))
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    given = [*arguments[2:6], "--out", str(tmp_path / "masked"), "--memory", "1GiB"]
    assert run(["mask", str(tmp_path / "wide.png"), *calibration, *given]) == 2
    assert "12000×8000 pixels need about" in capsys.readouterr().err
    assert not (tmp_path / "masked").exists()


def header_only(width: int, height: int) -> bytes:
    """A PNG that ends after its header: whoever reads on fails otherwise than by its size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("command", ["plan", "calibrate", "compare", "tune"])
def test_a_photograph_that_cannot_fit_is_refused_by_its_header(tmp_path, arguments, command, capsys):
    (tmp_path / "photographs" / "huge.png").write_bytes(header_only(12000, 12000))
    if command == "compare":
        arguments = [*arguments[6:], "--vendor", "embedded:draws=2", "--vendor", "embedded"]
    if command == "tune":
        arguments = [*arguments, "--alpha", "0.9"]
    said = ended(capsys, [command, str(tmp_path / "photographs"), *arguments, "--memory", "2GB"], 2).err
    for part in ("huge.png", "fits into 1907 MiB", "12000×12000 pixels need about", "Raise --memory", "crop"):
        assert part in said
    assert not (tmp_path / "run").exists()


def test_an_audit_takes_more_for_a_pixel_and_is_refused_earlier(tmp_path, arguments, capsys):
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "-q"]) == 0
    (tmp_path / "unseen").mkdir()
    (tmp_path / "unseen" / "huge.png").write_bytes(header_only(4000, 4000))
    pixels = 4000 * 4000
    fits, more = BASE_BYTES + picture_bytes((4000, 4000)), BASE_BYTES + audit_bytes_a_pixel(1) * pixels
    assert fits < more
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    given = ["audit", str(tmp_path / "unseen"), *calibration, *arguments[2:4], "--run", str(tmp_path / "run")]
    for allowed, said in ((fits, "4000×4000 pixels need about"), (more, "huge.png: expected a whole PNG file")):
        # Rounded up by less than a picture's bytes.
        assert said in ended(capsys, [*given, "--memory", f"{allowed / 2**20 + 1e-6:.6f}MiB"], 2).err


def test_fewer_audited_photographs_at_a_time(tmp_path, arguments, monkeypatch):
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "-q"]) == 0
    write_photographs(tmp_path / "unseen", range(10, 14))
    write_draws(tmp_path / "outputs", range(10, 14), 3)
    watch = Watch(measure.evaluate)
    monkeypatch.setattr(measure, "evaluate", watch)
    monkeypatch.setattr(memory, "cpu_count", lambda: 4)
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    given = ["audit", str(tmp_path / "unseen"), *calibration, *arguments[2:4], "--run", str(tmp_path / "run"), "-q"]
    for pictures, most, patience in ((1.5, 1, 0.2), (2.5, 2, 20)):
        watch.start(patience)
        allowed = BASE_BYTES + pictures * audit_bytes_a_pixel(1) * SIZE[0] * SIZE[1]
        assert run([*given, "--memory", f"{allowed / 2**20:.6f}MiB"]) == 0
        assert (len(watch.seen), max(watch.seen)) == (4, most)


def test_results_that_are_handed_over_are_not_kept(tmp_path, arguments):
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "-q"]) == 0
    write_draws(tmp_path / "outputs", range(20, 28), 3)
    inputs = []
    for seed in range(20, 28):
        content = io.BytesIO()
        small = PillowImage.fromarray(photograph(seed)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        small.save(content, "PNG")
        inputs.append((f"p{seed}", content.getvalue()))
    vendor = load_adapter("folder", path=str(tmp_path / "outputs"), label="synthetic")
    calibration = Calibration.load(tmp_path / "run" / "calibration.json")
    handed: list[weakref.ref[Result]] = []
    places: list[tuple[int, str]] = []
    most = 0

    def take(index: int, result: Result) -> None:
        nonlocal most
        handed.append(weakref.ref(result))
        places.append((index, result.name))
        gc.collect()
        most = max(most, sum(one() is not None for one in handed))

    assert mask_all(vendor, inputs, calibration, 0.9, on_result=take) == []
    assert most <= 2
    assert sorted(places) == [(index, name) for index, (name, _) in enumerate(inputs)]
    kept = mask_all(vendor, inputs, calibration, 0.9)
    assert [one.name for one in kept] == [name for name, _ in inputs]


@pytest.mark.parametrize(("command", "more"), [("calibrate", []), ("tune", ["--alpha", "0.9"])])
def test_the_estimate_counts_what_the_command_takes(tmp_path, command, more, capsys):
    write_photographs(tmp_path / "photographs", range(6))
    vendor = ["--adapter", "http", "-p", "url=http://127.0.0.1:9/v1", "-p", "price-usd=1", "--draws", "3"]
    assert run([command, str(tmp_path / "photographs"), *vendor, "--run", str(tmp_path / "run"), *more]) == 4
    candidates = len(parse_candidates(default_candidates(3), 3))
    pixel_bytes = {"calibrate": PIXEL_BYTES, "tune": bytes_a_pixel(candidates)}[command]
    expected = BASE_BYTES + 2 * pixel_bytes * SIZE[0] * SIZE[1]
    assert f"memory {expected / 2**20:.0f} MiB" in capsys.readouterr().err
    assert bytes_a_pixel(candidates) > 5 * PIXEL_BYTES


def test_a_comparison_is_refused_before_its_first_vendor_draws(tmp_path, arguments, capsys):
    """The second takes more than the first, which alone would fit."""
    few, many = bytes_a_pixel_of_draws(2, True), bytes_a_pixel_of_draws(8, True)
    assert few < many
    (tmp_path / "photographs" / "wide.png").write_bytes(header_only(3000, 2000))
    allowed = f"{(BASE_BYTES + few * 3000 * 2000) / 2**20:.6f}MiB"
    given = ["compare", str(tmp_path / "photographs"), "--vendor", "embedded:draws=2", "--vendor", "embedded:draws=8"]
    assert run([*given, "--run", str(tmp_path / "runs"), "--memory", allowed]) == 2
    assert "3000×2000 pixels need about" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read as a picture."""
    found: Counter[str] = Counter()
    original = read._read_file

    def counting(path: Path, limits: read.ImageLimits) -> bytes:
        found[path.parent.name + "/" + path.name] += 1
        return original(path, limits)

    monkeypatch.setattr(read, "_read_file", counting)
    return found


@pytest.fixture
def decoded_vendor(tmp_path: Path) -> list[str]:
    draws = write_draws(tmp_path / "outputs", range(12), 3)
    write_photographs(tmp_path / "photographs", range(8))
    write_photographs(tmp_path / "unseen", range(8, 12))
    return ["--adapter", "folder", "-p", "label=synthetic", "-p", f"path={draws}", "--run", str(tmp_path / "run")]


PROCEDURE = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]


def each(folder: str, numbers: range, times: int) -> dict[str, int]:
    return {f"{folder}/p{number}.png": times for number in numbers}


def test_calibrate_reads_a_photograph_once(decoded_vendor, tmp_path, reads):
    assert run(["calibrate", str(tmp_path / "photographs"), *decoded_vendor, *PROCEDURE]) == 0
    assert reads == each("photographs", range(8), 1)


def test_photographs_that_there_is_no_room_for_are_read_again_with_the_same_result(
    decoded_vendor, tmp_path, reads, monkeypatch
):
    given = ["calibrate", str(tmp_path / "photographs"), *decoded_vendor, *PROCEDURE, "--out"]
    assert run([*given, str(tmp_path / "kept.json")]) == 0
    height, width = photograph(0).shape[:2]
    one = 3 * (height * width + (height // 4) * (width // 4))
    for room in (0, one, 5 * one - 1):
        reads.clear()
        monkeypatch.setattr(prepare, "MOST_BYTES", room)
        assert run([*given, str(tmp_path / "again.json")]) == 0
        assert reads.total() == 2 * 8 - room // one
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "kept.json").read_bytes()


def test_plan_reads_a_photograph_once_and_keeps_nothing(decoded_vendor, tmp_path, reads, monkeypatch):
    def keep(*_: object) -> None:
        raise AssertionError("nothing is drawn after a plan")

    monkeypatch.setattr(prepare.KeptPixels, "keep", keep)
    assert run(["plan", str(tmp_path / "photographs"), *decoded_vendor, *PROCEDURE]) == 0
    assert reads == each("photographs", range(8), 1)


def test_audit_reads_a_photograph_once(decoded_vendor, tmp_path, reads):
    assert run(["calibrate", str(tmp_path / "photographs"), *decoded_vendor, *PROCEDURE]) == 0
    reads.clear()
    calibration = str(tmp_path / "run" / "calibration.json")
    assert run(["audit", str(tmp_path / "unseen"), "--calibration", calibration, *decoded_vendor]) == 0
    assert reads == each("unseen", range(8, 12), 1)


def test_a_pool_that_is_split_is_read_once(decoded_vendor, tmp_path, reads):
    assert run(["audit", str(tmp_path / "photographs"), "--splits", "5", *decoded_vendor, *PROCEDURE]) == 0
    assert reads == each("photographs", range(8), 1)


def test_mask_reads_an_input_to_prepare_and_to_evaluate_it(decoded_vendor, tmp_path, reads):
    assert run(["calibrate", str(tmp_path / "photographs"), *decoded_vendor, *PROCEDURE]) == 0
    small = tmp_path / "small" / "p9.png"
    small.parent.mkdir()
    PillowImage.fromarray(reduced(photograph(9), 4)).save(small)
    reads.clear()
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    assert run(["mask", str(small), *calibration, *decoded_vendor, "--out", str(tmp_path / "masked")]) == 0
    assert reads == {"small/p9.png": 2}


def test_tune_reads_a_photograph_once_whether_it_tunes_or_calibrates(decoded_vendor, tmp_path, reads):
    given = ["--draws", "3", "--metric", "rgb-linf", "--alpha", "0.5", "--candidate", "pixel-variance@2"]
    assert run(["tune", str(tmp_path / "photographs"), *decoded_vendor, *given]) == 0
    assert reads == each("photographs", range(8), 1)
    assert Calibration.load(tmp_path / "run" / "calibration.json").procedure.draws == 2


def test_compare_reads_a_photograph_once_for_each_contestant(decoded_vendor, tmp_path, reads):
    draws = tmp_path / "outputs"
    both = [f"--vendor=folder:path={draws},label={score},score={score}" for score in ("pixel-variance", "texture")]
    given = ["--draws", "3", "--metric", "rgb-linf", "--alpha", "0.9", "--run", str(tmp_path / "runs")]
    assert run(["compare", str(tmp_path / "photographs"), *both, *given]) == 0
    assert reads == each("photographs", range(8), 2)
