"""`--memory`: fewer photographs at a time, and a picture that cannot fit is refused by its header."""

import struct
import threading
import zlib
from pathlib import Path

import pytest
from synthetic import write_draws, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.pipeline import calibrate, draws
from blackbox_conformal.pipeline.evaluate import calibration_curves
from blackbox_conformal.pipeline.memory import BASE_BYTES, picture_bytes

SIZE = (64, 80)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_photographs(tmp_path / "photographs", range(6))
    write_draws(tmp_path / "outputs", range(6), 3)
    vendor = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=synthetic"]
    choices = ["--draws", "3", "--indecision", "pixel-variance", "--fidelity", "rgb-linf"]
    return [*vendor, *choices, "--run", str(tmp_path / "run"), "--yes"]


class Watch:
    """Notes how many photographs are being evaluated whenever one is; they wait for each other for `patience` s."""

    def __init__(self) -> None:
        self.patience = 0.0
        self.seen: list[int] = []
        self._under_way = 0
        self._lock = threading.Lock()
        self._met = threading.Event()

    def __call__(self, *given, **named):
        with self._lock:
            self._under_way += 1
            self.seen.append(self._under_way)
            if self._under_way > 1:
                self._met.set()
        try:
            self._met.wait(self.patience)
            return calibration_curves(*given, **named)
        finally:
            with self._lock:
                self._under_way -= 1


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(calibrate, "calibration_curves", watch)
    monkeypatch.setattr(draws, "cpu_count", lambda: 4)
    return watch


def amount(pictures: float) -> str:
    return f"{(BASE_BYTES + pictures * picture_bytes(SIZE)) / 2**20:.6f}MiB"


@pytest.mark.parametrize(("pictures", "most", "patience"), [(1.5, 1, 0.2), (2.5, 2, 20)])
def test_fewer_photographs_at_a_time(
    tmp_path: Path, arguments: list[str], watch: Watch, pictures: float, most: int, patience: float
) -> None:
    watch.patience = patience
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "--memory", amount(pictures), "-q"]) == 0
    assert len(watch.seen) == 6
    assert max(watch.seen) == most


def test_the_cap_changes_no_result(tmp_path: Path, arguments: list[str]) -> None:
    photographs = str(tmp_path / "photographs")
    assert run(["calibrate", photographs, *arguments, "--out", str(tmp_path / "free.json"), "-q"]) == 0
    capped = ["--memory", amount(1.5), "--out", str(tmp_path / "capped.json")]
    assert run(["calibrate", photographs, *arguments, *capped, "-q"]) == 0
    assert (tmp_path / "free.json").read_bytes() == (tmp_path / "capped.json").read_bytes()


def header_only(width: int, height: int) -> bytes:
    """A PNG that ends after its header: whoever reads on fails otherwise than by its size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("command", ["plan", "calibrate", "compare", "tune"])
def test_a_photograph_that_cannot_fit_is_refused_by_its_header(
    tmp_path: Path, arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photographs" / "huge.png").write_bytes(header_only(12000, 12000))
    if command == "compare":
        arguments = [*arguments[6:], "--vendor", "embedded:draws=2", "--vendor", "embedded"]
    if command == "tune":
        arguments = [*arguments, "--alpha", "0.9"]
    assert run([command, str(tmp_path / "photographs"), *arguments, "--memory", "2GB"]) == 2
    said = capsys.readouterr().err
    for part in ("huge.png", "fits into 1907 MiB", "12000×12000 pixels need about", "Raise --memory", "crop"):
        assert part in said
    assert not (tmp_path / "run").exists()


def test_an_input_counts_as_large_as_its_answer(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calibrate", str(tmp_path / "photographs"), *arguments, "-q"]) == 0
    (tmp_path / "wide.png").write_bytes(header_only(3000, 2000))
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    given = [*arguments[2:6], "--out", str(tmp_path / "masked"), "--memory", "1GiB"]
    assert run(["mask", str(tmp_path / "wide.png"), *calibration, *given]) == 2
    assert "12000×8000 pixels need about" in capsys.readouterr().err
    assert not (tmp_path / "masked").exists()
