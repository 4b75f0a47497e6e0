"""Test that the guarantee holds on real photographs: many random splits of one pool, risk against level.

    python examples/validate_on_photographs.py PHOTOGRAPHS... [--adapter NAME] [-p KEY=VALUE] [--splits 100]
                                               [--scale 4] [--degradation area:4+noise:3+jpeg:60-95]

Every photograph is drawn once through the ordinary calibration. In each split, one part of the stored curves gives the
thresholds and the other the realised risk. Random splits of one pool are exchangeable by construction, so the mean
realised risk over splits must stay below every level, up to the Monte-Carlo error of that many splits. The program ends
with exit code 3 if it does not.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

import blackbox_conformal as bc
from blackbox_conformal.embedded.demonstration import reduced_photographs
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.listeners import Listeners
from blackbox_conformal.study.stages.defaults import DEFAULT_DRAWS, DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import set_up

LEVELS = (0.08, 0.1, 0.12, 0.15, 0.18, 0.2, 0.25, 0.3, 0.4, 0.5)


def main() -> int:
    """Draw, split, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--adapter", default="embedded")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--scale", type=int, default=None, help="magnification; by default the vendor's")
    parser.add_argument("--degradation", default=None, help="how inputs are made; by default what the vendor undoes")
    parser.add_argument("--draws", type=int, default=DEFAULT_DRAWS)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--calibrate-on", type=float, default=0.7, help="share of the pool that calibrates")
    parser.add_argument("--score", default=None, help="by default the usual one")
    parser.add_argument("--metric", default=DEFAULT_METRIC)
    parser.add_argument("--run", type=Path, default=None)
    options = parser.parse_args()

    def progress(what: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{what} {done}/{total}   ", end="", file=sys.stderr)

    with tempfile.TemporaryDirectory() as temporary:
        run = options.run or Path(temporary)
        photographs = reduced_photographs(
            find_photographs(options.photographs), run / "photographs", options.side, progress
        )
        adapter = bc.load_adapter(options.adapter, **dict(pair.split("=", 1) for pair in options.parameters))
        setup = set_up(
            adapter,
            scale=options.scale,
            draws=options.draws,
            score=options.score,
            metric=options.metric,
            degradation=options.degradation,
            guarantee="expected",
        )
        result = calibrate_job(
            Job.of_photographs(
                setup, [one.path for one in photographs], Terms(run, listeners=Listeners(progress=progress))
            ),
            guarantee="expected",
        )
    curves = list(result.calibration.curves)
    calibrating = round(options.calibrate_on * len(curves))
    generator = np.random.default_rng(0)
    risks = np.empty((options.splits, len(LEVELS)))
    shares = np.empty_like(risks)
    for split in range(options.splits):
        order = generator.permutation(len(curves))
        chosen = CurveSet.from_curves([curves[index] for index in order[:calibrating]])
        unseen = [curves[index] for index in order[calibrating:]]
        for column, alpha in enumerate(LEVELS):
            threshold = bc.threshold(chosen, alpha)
            risks[split, column] = np.mean([curve.loss(threshold) for curve in unseen])
            shares[split, column] = np.mean([curve.trusted_share(threshold) for curve in unseen])
    procedure = result.calibration.procedure
    print(f"{options.adapter} x{procedure.scale} of {procedure.mixture.text}: {len(curves)} photographs, ", end="")
    print(f"{calibrating} calibrate, {options.splits} random splits")
    print(f"{'alpha':>8} {'mean risk':>10} {'3 SE':>8} {'trusted':>8}  kept")
    kept = True
    rows = []
    for column, alpha in enumerate(LEVELS):
        risk = float(risks[:, column].mean())
        error = float(risks[:, column].std(ddof=1)) / math.sqrt(options.splits)
        holds = risk <= alpha + 3 * error
        kept = kept and holds
        share = float(shares[:, column].mean())
        rows.append({"alpha": alpha, "risk": risk, "standard_error": error, "trusted_share": share, "kept": holds})
        print(f"{alpha:8.2f} {risk:10.4f} {3 * error:8.4f} {share:8.1%}  {'yes' if holds else 'NO'}")
    print(
        json.dumps(
            {
                "adapter": options.adapter,
                "degradation": procedure.degradation,
                "n": len(curves),
                "splits": options.splits,
                "levels": rows,
            }
        )
    )
    return 0 if kept else 3


if __name__ == "__main__":
    sys.exit(main())
