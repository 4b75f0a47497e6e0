"""Measure how much of real photographs is trusted, and at which risk, for several settings and numbers of photographs.

    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws/NETWORK/kodak-384 --crop --side 384 --draws 1
    python examples/trusted_share.py draws/NETWORK/kodak-384 draws/NETWORK/urban-384 --label NETWORK \
        --row "" --row "delivery=consistent:steps=2" --row "metric=lab-l1:sigma=4,cap=0.5; delivery=consistent:steps=2"

Each folder holds ``photographs`` and the stored ``outputs`` of a vendor, as draw_with_ncnn.py writes them; together
they are one pool. With ``--adapter embedded`` their photographs are drawn from the embedded vendor instead. A row names
keywords of `blackbox_conformal.calibrate` that differ from the defaults: score, delivery, metric, guarantee, draws, ….

In each random split n photographs give the threshold and all others are measured. A cell holds the trusted share in
percent and, in brackets, the realised risk ± its standard error over photographs. Splits of one pool are exchangeable,
so the risk must stay at or below alpha; the program ends with exit code 3 if one lies more than three standard errors
above it.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import figures
import numpy as np
from numpy.typing import NDArray

import blackbox_conformal as bc
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.stages.settings import member

ALPHAS = (0.05, 0.1, 0.2)
NUMBERS = (25, 50, 100, 200)
FEWEST_MEASURED = 10
"""Splits that leave fewer photographs to measure are not made."""


def main() -> int:
    """Calibrate every folder for every row, split, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--row", action="append", required=True, metavar="KEY=VALUE;…", help='"" is the defaults')
    parser.add_argument("--adapter", choices=["folder", "embedded"], default="folder")
    parser.add_argument("--label", default="network", help="who made the stored outputs")
    parser.add_argument("--runs", type=Path, help="keep the embedded vendor's draws in this folder")
    parser.add_argument("--splits", type=int, default=60)
    parser.add_argument("--name", action="append", default=[], help="what the table calls the row of the same place")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--save", metavar="TABLE", help="write them to the table of this name on the page, too")
    options = parser.parse_args()
    found = []
    print("| settings | photographs | n | " + " | ".join(f"alpha {alpha:g}" for alpha in ALPHAS) + " |")
    print("| --- " * (3 + len(ALPHAS)) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        for row, name in itertools.zip_longest(options.row, options.name):
            settings = _settings(row)
            rule = member("guarantees", settings.get("guarantee", "expected"))
            curves = [
                curve
                for folder in options.folders
                for curve in _curves(folder, settings, rule, options, options.runs or Path(temporary))
            ]
            found += _measured(name or row or "defaults", curves, rule, options.splits)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if options.save is not None:
        print(
            f"written to {figures.save('trusted-share', options.save, {'cells': found})}; figures.py fills in the page"
        )
    broken = [cell for cell in found if cell["risk"] > cell["alpha"] + 3 * cell["standard_error"]]
    for cell in broken:
        print(f"NOT kept: {cell}", file=sys.stderr)
    return 3 if broken else 0


def _settings(row: str) -> dict[str, Any]:
    """Keywords of `calibrate` from `key=value; key=value`."""
    pairs = [entry.strip().partition("=") for entry in row.split(";") if entry.strip()]
    return {key.strip(): int(value) if value.isdecimal() else value for key, _, value in pairs}


def _curves(
    folder: Path, settings: dict[str, Any], rule: Guarantee, options: argparse.Namespace, runs: Path
) -> list[RiskCurve]:
    """The curve of every photograph of a folder, in the order of their digests, so that rows have the same splits."""
    if options.adapter == "embedded":
        vendor = bc.load_adapter("embedded")
    else:
        vendor = bc.load_adapter("folder", path=str(folder / "outputs"), label=options.label, scale=4)
    run = runs / options.adapter / f"{folder.parent.name}-{folder.name}"
    calibration = bc.calibrate(vendor, folder / "photographs", run=run, **settings)
    return list(calibration.curves_for(rule))


def _measured(row: str, curves: Sequence[RiskCurve], rule: Guarantee, splits: int) -> list[dict[str, Any]]:
    """A line of the table for every number of photographs that the pool is large enough for."""
    found = []
    for n in (number for number in NUMBERS if number + FEWEST_MEASURED <= len(curves)):
        shares, losses = _split(curves, rule, n, splits)
        cells = []
        for alpha, share, loss in zip(ALPHAS, shares, losses, strict=True):
            each = np.nanmean(loss, axis=0)
            risk, error = (
                float(np.nanmean(loss)),
                float(np.nanstd(each, ddof=1) / np.count_nonzero(~np.isnan(each)) ** 0.5),
            )
            found.append(
                {"row": row, "n": n, "alpha": alpha, "share": float(share), "risk": risk, "standard_error": error}
            )
            cells.append(f"{100 * share:.1f} ({risk:.3f} ± {error:.3f})")
        print(f"| {row} | {len(curves)} | {n} | {' | '.join(cells)} |", flush=True)
    return found


def _split(
    curves: Sequence[RiskCurve], rule: Guarantee, n: int, splits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean trusted share at each level, and (levels, splits, photographs) losses, NaN where a photograph calibrated."""
    generator = np.random.default_rng(0)
    whole = CurveSet.from_curves(curves)
    shares = np.zeros(len(ALPHAS))
    losses = np.full((len(ALPHAS), splits, len(curves)), np.nan)
    for split in range(splits):
        order = generator.permutation(len(curves))
        chosen, unseen = whole.subset(np.sort(order[:n])), order[n:]
        for level, alpha in enumerate(ALPHAS):
            threshold = rule.threshold(chosen, alpha)
            losses[level, split, unseen] = whole.losses_at(threshold)[unseen]
            shares[level] += whole.trusted_shares_at(threshold)[unseen].mean() / splits
    return shares, losses


if __name__ == "__main__":
    sys.exit(main())
