"""Time whole calibrations, threshold searches, stored curves and masks against Pillow and readable NumPy, in one run.

    python examples/benchmarks/run.py --quick          # two small photographs
    python examples/benchmarks/run.py                  # four photographs of 3840 x 2160, ten draws each
    python examples/benchmarks/run.py --photographs FOLDER

Prints one table. Each pair is timed alternately and the median ratio of the pairs is shown, so that a busy machine
slows both alike; seconds are the smallest seen, and processor seconds where one thread is said. Photographs are cut and
scaled to size; without a folder they are made up. Draws are the photograph brought back from a quarter of its size with
a part of its detail that differs by draw.
"""

# ruff: noqa: E402 - thread counts must be set before NumPy is imported

import argparse
import io
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import datetime
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import baseline
import numpy as np
import PIL
from kernels import photograph
from PIL import Image

import blackbox_conformal as bc
from blackbox_conformal import catalog
from blackbox_conformal.images.photographs import find_photographs
from blackbox_conformal.pipeline import draws as drawing
from blackbox_conformal.pipeline import evaluate as evaluating
from blackbox_conformal.pipeline import prepare as preparing
from blackbox_conformal.pipeline.apply import apply_calibration
from blackbox_conformal.pipeline.calibrate import run_calibration
from blackbox_conformal.pipeline.settings import Setup, set_up
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet

SCALE = 4
SCORE, METRIC = "smoothed-variance:kernel=gaussian,sigma=4", "lab-l1:kernel=gaussian,sigma=4"
ALPHAS = tuple(np.linspace(0.02, 1.5, 40).round(4))
HERE = Path(__file__).resolve().parent


def write_material(root: Path, sources: list[Path], count: int, width: int, height: int, draws: int) -> list[Path]:
    """Photographs under ``truth/`` and their draws under ``draws/``, all PNG as Pillow writes them."""
    (root / "truth").mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        truth = cut(sources[number % len(sources)], width, height) if sources else photograph(width, height, number)
        paths.append(root / "truth" / f"p{number}.png")
        Image.fromarray(truth).save(paths[-1])
        low = Image.fromarray(truth).resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC)
        up = np.asarray(low.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        folder = root / "draws" / f"p{number}"
        folder.mkdir(parents=True)
        for index in range(draws):
            field = rng.normal(0.35, 0.35, (height // 8, width // 8)).astype(np.float32)
            share = np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))
            pixels = np.clip(np.rint(up + (truth - up) * share[..., None]), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return paths


def cut(path: Path, width: int, height: int) -> np.ndarray:
    """The photograph, scaled until it covers the size, and cut to it."""
    picture = Image.open(path).convert("RGB")
    factor = max(width / picture.width, height / picture.height)
    size = (max(width, round(picture.width * factor)), max(height, round(picture.height * factor)))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS).crop((0, 0, width, height)))


def decode_all(files: list[Path], threads: int) -> None:
    """What Pillow alone needs: every file read and decoded, pixels thrown away."""

    def one(path: Path) -> None:
        Image.open(io.BytesIO(path.read_bytes())).load()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, files))


def calibrate(setup: Setup, paths: list[Path], threads: int) -> bc.Calibration:
    """The whole calibration, from files, with so many threads."""
    with (
        tempfile.TemporaryDirectory() as run,
        mock.patch.object(drawing, "cpu_count", return_value=threads),
        mock.patch.object(preparing, "cpu_count", return_value=threads),
    ):
        return run_calibration(setup, paths, run=Path(run)).calibration


def pairs(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float, float]:
    """Smallest seconds of both, and the median of theirs / ours over alternating pairs, after one warm call of ours."""
    ours()
    spent: list[tuple[float, float]] = []
    for _ in range(repeats):
        times = []
        for call in (ours, theirs):
            start = clock()
            call()
            times.append(clock() - start)
        spent.append((times[0], times[1]))
    return min(a for a, _ in spent), min(b for _, b in spent), statistics.median(b / a for a, b in spent)


def maps(count: int, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Score and metric maps of made-up photographs: errors are larger where scores are, with noise."""
    from blackbox_conformal.kernels.windows import gaussian

    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        scores = gaussian(rng.random((side, side)).astype(np.float32) ** 4, 4.0)
        noise = gaussian(rng.random((side, side)).astype(np.float32) ** 4, 4.0)
        found.append((scores, ((scores + noise) * 2).astype(np.float32)))
    return found


def search(found: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Thresholds of 40 levels by this package, curves included."""
    curves = CurveSet.from_curves([RiskCurve.from_maps(*one, bound=1.9576) for one in found])
    rule = catalog.load("guarantees", "expected")
    return [rule.threshold(curves, float(alpha)) for alpha in ALPHAS]


def many_curves(paths: list[Path], setup: Setup, count: int) -> bytes:
    """`count` curves packed: those of the photographs, their scores shifted by a little, other for each."""
    base = list(calibrate(setup, paths, 2).curves)
    rng = np.random.default_rng(0)
    curves = []
    for index in range(count):
        one = base[index % len(base)]
        factor = np.float32(rng.uniform(0.5, 2))
        keep = np.flatnonzero(np.diff(one.scores * factor, prepend=np.float32(-1)) > 0)
        area = np.flatnonzero(np.diff(one.area_scores * factor, prepend=np.float32(-1)) > 0)
        curves.append(
            RiskCurve(
                (one.scores * factor)[keep],
                one.losses[keep],
                one.bound,
                area_scores=(one.area_scores * factor)[area],
                area_shares=one.area_shares[area],
            )
        )
    return CurveSet.from_curves(curves).to_bytes()


FIRST_USE = """
import sys, time
import blackbox_conformal as bc
from blackbox_conformal import catalog
start = time.perf_counter()
adapter = bc.load_adapter("folder", path=sys.argv[1], label="benchmark")
bc.apply(adapter, sys.argv[2], bc.Calibration.load(sys.argv[3]), 1.0)
print(time.perf_counter() - start)
"""


def first_use(root: Path, calibration: Path, source: Path, cache: Path) -> float:
    """Seconds of one mask in a new process with this kernel cache."""
    arguments = [sys.executable, "-c", FIRST_USE, str(root / "draws"), str(source), str(calibration)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return float(subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment).stdout)


PEAK = """
import json, sys
from pathlib import Path
import blackbox_conformal as bc
from blackbox_conformal import catalog
from blackbox_conformal.pipeline.calibrate import run_calibration
from blackbox_conformal.pipeline.settings import set_up
root, run, draws, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
setup = set_up(bc.load_adapter("folder", path=str(root / "draws"), label="benchmark"), draws=draws,
    indecision="smoothed-variance:kernel=gaussian,sigma=4")
run_calibration(setup, sorted((root / "truth").iterdir())[:count], run=run)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_megabytes(root: Path, draws: int, count: int) -> float:
    """Peak resident memory of a calibration in a process of its own."""
    with tempfile.TemporaryDirectory() as run:
        arguments = [sys.executable, "-c", PEAK, str(root), run, str(draws), str(count)]
        return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout) / 1024


def row(name: str, ours: float, theirs: float | None, ratio: str, target: str) -> None:
    """Print one line of the table."""
    other = "" if theirs is None else f"{theirs:.3f}"
    print(f"| {name} | {ours:.3f} | {other} | {ratio} | {target} |", flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two photographs of 1280 x 720, four draws")
    parser.add_argument("--photographs", type=Path, help="folder of photographs; made up without it")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    count, width, height, draws = (2, 1280, 720, 4) if chosen.quick else (4, 3840, 2160, 10)
    sources = [one.path for one in find_photographs([chosen.photographs])] if chosen.photographs else []
    print(
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, NumPy {np.__version__}, Pillow "
        f"{PIL.__version__}; {count} photographs {width} x {height}, {draws} draws, median of {chosen.repeats} pairs\n"
    )
    print("| what | ours, s | other, s | ratio | goal |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        step = max(1, len(sources) // count)
        paths = write_material(root, sources[::step], count, width, height, draws)
        measure(root, paths, draws, chosen.repeats, chosen.quick)


def measure(root: Path, paths: list[Path], draws: int, repeats: int, quick: bool) -> None:
    """Every line of the table."""
    adapter = bc.load_adapter("folder", path=str(root / "draws"), label="benchmark")
    setup = set_up(adapter, draws=draws, indecision=SCORE, fidelity=METRIC)
    files = [*paths, *sorted((root / "draws").rglob("*.png"))]
    ours, theirs, ratio = pairs(lambda: calibrate(setup, paths, 2), lambda: decode_all(files, 2), repeats)
    row("calibration / Pillow decoding, 2 threads", ours, theirs, f"{1 / ratio:.2f}", "<= 1.2")

    own = [sorted((root / "draws" / path.stem).iterdir()) for path in paths]
    read = list(zip(paths, own, strict=True))
    ours, theirs, ratio = pairs(
        lambda: calibrate(setup, paths, 1), lambda: baseline.calibrate(read, SCALE), repeats, time.process_time
    )
    row("NumPy baseline / calibration, 1 thread", ours, theirs, f"{ratio:.1f}", ">= 7")

    truth = baseline.decode(paths[0].read_bytes())
    stack = [baseline.decode(path.read_bytes()) for path in own[0]]

    def curve() -> RiskCurve:
        accumulator = setup.indecision.start(truth.shape[:2])
        for pixels in stack:
            accumulator.update(pixels)
        score = accumulator.finish(evaluating.Context(stack[0], None, SCALE))
        return RiskCurve.from_maps(score, setup.fidelity.map(truth, stack[0]), bound=setup.fidelity.bound)

    ours, theirs, ratio = pairs(curve, lambda: baseline.curve(truth, stack), repeats, time.process_time)
    row("the same without decoding, one photograph", ours, theirs, f"{ratio:.1f}", ">= 40")

    found = maps(3 if quick else 12, 256 if quick else 1024)
    expected = baseline.search(found, ALPHAS, 1.9576)
    same = bool(np.array_equal(np.float32(search(found)), np.float32(expected)))
    ours, theirs, ratio = pairs(
        lambda: search(found), lambda: baseline.search(found, ALPHAS, 1.9576), repeats, time.process_time
    )
    row(f"bisection on maps / 40 thresholds, 1 thread (equal: {same})", ours, theirs, f"{ratio:.0f}", ">= 100")

    size = 500 if quick else 10_000
    packed = many_curves(paths, setup, size)
    start = time.perf_counter()
    curves = CurveSet.from_bytes(packed)
    curves.merged  # noqa: B018 - the sum of all curves, made once
    loaded = time.perf_counter()
    rule = catalog.load("guarantees", "expected")
    for alpha in ALPHAS:
        rule.threshold(curves, float(alpha))
    row(f"loading {size} curves and adding them up", loaded - start, None, "", "< 1 s")
    row(f"40 thresholds from {size} curves", time.perf_counter() - loaded, None, "", "< 0.05 s")
    single = len(CurveSet.from_curves(list(calibrate(setup, paths, 2).curves)).to_bytes()) / len(paths) / 1000
    row("kB a curve", single, None, "", "< 8")

    calibration = calibrate(setup, paths[1:], 2)
    source = root / "low" / paths[0].name
    source.parent.mkdir()
    with Image.open(paths[0]) as picture:
        size_low = (picture.width // SCALE, picture.height // SCALE)
        picture.resize(size_low, Image.Resampling.BICUBIC).save(source)

    def mask() -> None:
        with tempfile.TemporaryDirectory() as run:
            apply_calibration(adapter, [(paths[0].stem, source)], calibration, 1.0, run=Path(run))

    ours, theirs, ratio = pairs(mask, lambda: decode_all(own[0], 1), repeats, time.process_time)
    row("mask / Pillow decoding its draws, 1 thread", ours, theirs, f"{1 / ratio:.2f}", "<= 1.3")

    small = root / "small"
    small.mkdir()
    tiny = write_material(small, [], 2, 512, 512, 4)
    with tempfile.TemporaryDirectory() as cache:
        four = set_up(
            bc.load_adapter("folder", path=str(small / "draws"), label="benchmark"), draws=4, indecision=SCORE
        )
        calibrate(four, tiny[1:], 1).save(small / "calibration.json")
        low = small / "p0.png"
        with Image.open(tiny[0]) as picture:
            picture.resize((128, 128), Image.Resampling.BICUBIC).save(low)
        cold = first_use(small, small / "calibration.json", low, Path(cache))
        warm = first_use(small, small / "calibration.json", low, Path(cache))
    row("first mask of 512 x 512, empty / filled kernel cache", warm, cold, f"+{cold - warm:.1f} s", "< +8 s")

    if Path("/proc/self/status").exists():
        for each in (2, draws):
            row(
                f"peak memory, MB, {each} draws, {len(paths)} photographs", peak_megabytes(root, each, 99), None, "", ""
            )
        row(f"peak memory, MB, {draws} draws, 2 photographs", peak_megabytes(root, draws, 2), None, "", "< 600")


if __name__ == "__main__":
    main()
