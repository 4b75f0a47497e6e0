"""Time whole calibrations, masks and threshold searches against straightforward code without this package.

    python examples/benchmarks/run.py                  # four photographs of 3840 x 2160, ten draws each
    python examples/benchmarks/run.py --photographs FOLDER
    python examples/benchmarks/run.py --quick          # small photographs: does everything run?

Prints one table, in about ten minutes. Each pair is timed alternately, so a busy machine slows both alike. The table
shows the median ratio of the pairs and the smallest seconds. "1 thread" means processor seconds of one thread.
Photographs are cut and scaled to size; without a folder they are made up. A draw is the photograph reduced to a quarter
and enlarged again, with a part of its detail that differs by draw.
"""

# ruff: noqa: E402 - thread counts must be set before NumPy is imported

import argparse
import os
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import datetime
import platform
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import baseline
import figures
import numba
import numpy as np
import PIL
from apart import Peak, first_use, peak
from arithmetic import stored_curves, thresholds
from bench import METRIC, PAPER, SCORE, Bench, calibrate, curve, decode_all, make_low
from degrading import consistent, degrading
from drawing import bare, sampled, wanted
from drawing import serving as vendor_serving
from mask_folder import mask_folder
from material import SCALE, black_png, repeat_draws, write_many, write_material
from scoring import scoring
from serving import serving
from timing import COLUMNS, ROWS, at_least, at_most, heading, pairs, row

import blackbox_conformal as bc
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.study.python.functions import mask_all
from blackbox_conformal.study.stages.defaults import DRAWING_SCORE, default_score
from blackbox_conformal.study.stages.settings import set_up


def pipeline(bench: Bench) -> None:
    """Whole calibrations against decoding the same files, and equal results for any number of threads."""
    setup = bench.setup()
    files = [*bench.paths, *(file for path in bench.paths for file in bench.files(path))]
    wall, processor = pairs(
        lambda: calibrate(setup, bench.paths, 2), lambda: decode_all(files, 2), max(bench.repeats, 5)
    )
    at_most("calibration / Pillow decoding the same files, 2 threads each", wall, 1.2)
    at_most("the same in processor seconds", processor, None)
    found = {
        calibrate(setup, bench.paths, threads).save(bench.root / "same.json").read_bytes() for threads in (1, 2, 4)
    }
    row("calibration files of 1, 2 and 4 threads that differ", str(len(found) - 1), "", "", "0", len(found) == 1)


def one_draw(bench: Bench) -> None:
    """Whole calibrations with one draw each, by a light score and by the default, against decoding the same files."""
    # Fewer than six photographs cannot keep what the default promises of colours.
    bench = replace(bench, root=bench.root / "one-draw", draws=1, count=max(bench.count, 6))
    files = [file for path in bench.paths for file in (path, bench.files(path)[0])]
    for score, most in (("bicubic-gap:sigma=8", 1.2), (default_score(1, SCALE, of_detail=True), None)):
        calibrated = partial(calibrate, bench.setup(score), bench.paths, 2)
        wall, processor = pairs(calibrated, lambda: decode_all(files, 2), bench.repeats)
        at_most(f"calibration, one draw, {score} / Pillow decoding the same files once, 2 threads each", wall, most)
        at_most("the same in processor seconds", processor, most)


def against_numpy(bench: Bench) -> None:
    """Calibrations in two settings against NumPy, SciPy and scikit-image, with and without decoding."""
    settings: list[tuple[str, tuple[str, str], baseline.Curve]] = [
        ("sigma 4", (SCORE, METRIC), baseline.curve),
        ("as in the paper", PAPER, baseline.paper_curve),
    ]
    paths = bench.paths[:2]
    read = [(path, bench.files(path)) for path in paths]
    for name, members, one in settings:
        setup = bench.setup(*members)
        ours = partial(calibrate, setup, paths, 1)
        _, processor = pairs(ours, partial(baseline.calibrate, read, SCALE, one), bench.repeats)
        at_least(f"NumPy, SciPy, scikit-image / calibration, {name}, 1 thread", processor, 7)
        truth = baseline.decode(paths[0].read_bytes())
        stack = [baseline.decode(path.read_bytes()) for path in bench.files(paths[0])]
        _, processor = pairs(partial(curve, setup, truth, stack), partial(one, truth, stack), bench.repeats)
        at_least("the same without decoding, one photograph", processor, 40)


def masks(bench: Bench) -> None:
    """One mask against decoding its draws."""
    calibration = calibrate(bench.setup(), bench.paths[1:], 2)
    path = bench.paths[0]
    source = bench.root / "low.png"
    make_low(path, source)
    adapter = bc.load_adapter("folder", path=str(bench.root / "draws"), label="benchmark")

    def mask() -> None:
        with tempfile.TemporaryDirectory() as run:
            mask_all(adapter, [(path.stem, source)], calibration, 1.0, run=Path(run))

    _, processor = pairs(mask, lambda: decode_all(bench.files(path), 1), bench.repeats)
    at_most("mask of one photograph / Pillow decoding its draws, 1 thread", processor, 1.3)


def paid_draws(bench: Bench) -> None:
    """The engine's processor time for a draw against a bare client's request, between two halves of those."""
    tasks, threads = wanted(400 if bench.quick else 4000), 32
    half = len(tasks) // 2
    with vendor_serving(8192) as url:
        bare(url, tasks[:200], threads)
        first = bare(url, tasks[:half], threads)
        ours, _ = sampled(url, tasks, threads, bench.root / "drawn")
        theirs = first + bare(url, tasks[half:], threads)
    each = [one.processor / one.draws for one in (ours, theirs)]
    ratio = each[0] / each[1]
    name = f"processor time of a draw / of a bare client's request, answers of 8 kB, {threads} threads"
    row(name, f"{each[0] * 1e3:.2f} ms", f"{each[1] * 1e3:.2f} ms", f"{ratio:.2f}", "≤ 2", ratio <= 2)


def first_uses(bench: Bench) -> None:
    """The first mask of a small picture with an empty and a filled kernel cache."""
    small = bench.root / "small"
    small.mkdir()
    tiny = write_material(small, [], 2, 512, 512, 4)
    adapter = bc.load_adapter("folder", path=str(small / "draws"), label="benchmark")
    saved, source = small / "calibration.json", small / f"{tiny[0].stem}.png"
    calibrate(set_up(adapter, draws=4, score=SCORE), tiny[1:], 1).save(saved)
    make_low(tiny[0], source)
    cold, warm = [], []
    for _ in range(bench.repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(first_use(small / "draws", saved, source, Path(cache)))
            warm.append(first_use(small / "draws", saved, source, Path(cache)))
    more = statistics.median(one - two for one, two in zip(cold, warm, strict=True))
    name = "first mask of 512 x 512, filled / empty kernel cache"
    row(name, f"{min(warm):.1f} s", f"{min(cold):.1f} s", f"+{more:.1f} s", "< +8 s", more < 8)


def memory(bench: Bench) -> None:
    """Peak memory by draws and by photographs, within a limit, and of a photograph that is too large for it."""
    count, width, height = (16, 640, 360) if bench.quick else (64, 3840, 2160)
    scores = {"sigma 4": SCORE, "the default score": DRAWING_SCORE, "the paper's score": PAPER[0]}
    most = len(bench.paths)
    repeat_draws(bench.root, 32)
    # Enough for one photograph at a time: with two, the peak depends on which of their steps meet.
    limit = 700 << 20
    for name, chosen in scores.items():
        peak(bench.root, chosen, 2, 1)  # Compiles, which takes memory too.
        few, many = (peak(bench.root, chosen, draws, most, memory=limit, repeats=bench.repeats) for draws in (4, 32))
        growth(f"MiB at peak, one photograph at a time, 32 / 4 draws, {name}", many, few)
        together = peak(bench.root, chosen, 32, most, repeats=bench.repeats).megabytes
        row(f"MiB at peak, two photographs at a time, {name}", f"{together:.0f}", "", "", "< 600", together < 600)
    flat = bench.root / "flat"
    write_many(flat, count, width, height)
    few, many = (
        peak(flat, SCORE, 2, photographs, memory=limit, repeats=bench.repeats) for photographs in (count // 8, count)
    )
    growth(f"MiB at peak, one photograph at a time, {count} / {count // 8} photographs, sigma 4", many, few)
    within = not many.error and many.megabytes < limit >> 20
    row("MiB at peak with a limit of 700 MiB", f"{many.megabytes:.0f}", "", "", "< 700", within)
    huge = bench.root / "huge"
    (huge / "truth").mkdir(parents=True)
    (huge / "draws").mkdir()
    (huge / "truth" / "huge.png").write_bytes(black_png(12_000, 12_000))
    refused = peak(huge, SCORE, 2, 1, memory=2 << 30)
    met = "need about" in refused.error and refused.megabytes < 300
    row("MiB at peak, 12 000 x 12 000 refused under 2 GiB", f"{refused.megabytes:.0f}", "", "", "refused", met)


def growth(name: str, many: Peak, few: Peak) -> None:
    """A line that says by how much memory grows; the goal is no growth."""
    grown = many.megabytes / few.megabytes
    met = grown <= 1.05 and not (many.error or few.error)
    row(name, f"{many.megabytes:.0f}", f"{few.megabytes:.0f}", f"{grown:.2f}", "≤ 1.05", met)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[Bench], None]] = {
        "pipeline": pipeline,
        "one-draw": one_draw,
        "degrading": degrading,
        "consistent": consistent,
        "numpy": against_numpy,
        "thresholds": thresholds,
        "curves": stored_curves,
        "masks": masks,
        "folder": mask_folder,
        "scores": scoring,
        "draws": paid_draws,
        "serving": serving,
        "first": first_uses,
        "memory": memory,
    }
    parser.add_argument("--quick", action="store_true", help="two photographs of 1280 x 720, four draws")
    parser.add_argument("--photographs", type=Path, help="folder of photographs; made up without it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts), help="lines of the table")
    parser.add_argument("--save", action="store_true", help="write each part to the figures of the page, too")
    chosen = parser.parse_args()
    if chosen.save and chosen.quick:
        parser.error("expected --save without --quick, whose photographs are small")
    count, width, height, draws = (2, 1280, 720, 4) if chosen.quick else (4, 3840, 2160, 10)
    sources = [one.path for one in find_photographs([chosen.photographs])] if chosen.photographs else []
    made = (
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d %H:%M} UTC, {processor_name()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; {platform.system()}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}, numba {numba.__version__}, Pillow {PIL.__version__}, zlib {zlib.ZLIB_RUNTIME_VERSION}; "
        f"{count} photographs of {width} x {height}, {draws} draws, median of {chosen.repeats} pairs"
    )
    print(f"{made}\n")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), sources, count, (width, height), draws, chosen.repeats, chosen.quick)
        heading()
        start = time.perf_counter()
        for part in chosen.only:
            before = len(ROWS)
            parts[part](bench)
            if chosen.save:
                figures.save("benchmarks", part, {"made": made, "columns": COLUMNS, "rows": ROWS[before:]})
        print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes, load {os.getloadavg()[0]:.1f} at the end")
    if chosen.save:
        print("written to the figures of the page; examples/figures.py fills it in")


def processor_name() -> str:
    """The name of the machine's processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
