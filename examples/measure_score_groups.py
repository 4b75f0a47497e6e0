"""Measure what groups by median score cost and mend, by random splits of calibrations on many photographs.

    blackbox-conformal calibrate photographs/ --adapter embedded --run runs/embedded
    python examples/measure_score_groups.py runs/*/calibration.json --save

A cell holds the mean loss of the guarantee, and the trusted share, of the photographs that do not calibrate: with one
threshold, then with one for each group. *lowest* and *highest* are the groups of the lowest and the highest scores.
"""

import argparse
from pathlib import Path

import figures
import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.guarantees.by_score import NAMES, ByMedianScore, group_of, groups_of, in_smallest

SPLITS, CUTS = 100, ((40, 2), (40, 4), (80, 2), (80, 4), (160, 4))
COLUMNS = (
    "calibrated, photographs, groups, in each, one: lowest, own: lowest, one: highest, own: highest, one: all, own: all"
)


def measured(calibration: Calibration, n: int, count: int, alpha: float, chosen: np.ndarray) -> np.ndarray:
    """(count + 1, 2, 2) mean loss and trusted share by one threshold and by own ones: of each group, then of all."""
    names, keys, inner = NAMES[count], calibration.score_keys, calibration.guarantee
    known, new = chosen[:n], chosen[n:]
    of_known = groups_of([keys[index] for index in known], count)
    cuts = [keys[index] for index, group in zip(known, of_known, strict=True) if group is None]
    groups = np.array([group_of(keys[index], cuts, count) for index in new], dtype=object)

    def at(of_each: list[str | None], group: str) -> tuple[np.ndarray, np.ndarray]:
        of_all = np.full(calibration.n, "", dtype=object)
        of_all[known] = [each or "" for each in of_each]
        parameters = {name: value for name, value in inner.items() if name != "name" and value is not None}
        rule = ByMedianScore(of=inner["name"], parameters=parameters, groups=tuple(of_all), group_new=group)
        curves = calibration.curves_for(rule)
        threshold = rule.threshold(curves, alpha)
        return curves.losses_at(threshold)[new], calibration.curves.trusted_shares_at(threshold)[new]

    one = np.array(at(["all"] * n, "all"))
    own = np.where(groups == names[0], at(of_known, names[0]), 0.0)
    for name in names[1:]:
        own = np.where(groups == name, at(of_known, name), own)
    parts = [*(groups == name for name in names), np.full(len(new), True)]
    return np.array([[values[:, part].mean(axis=1) for values in (one, own)] for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibrations", type=Path, nargs="+")
    parser.add_argument("--alpha", type=float, default=0.2)
    figures.save_option(parser)
    options = parser.parse_args()
    columns, rows = figures.heading(COLUMNS.split(", ")), []
    for path in options.calibrations:
        calibration = Calibration.load(path)
        for n, count in CUTS:
            generator = np.random.default_rng(0)
            trials = [generator.permutation(calibration.n) for _ in range(SPLITS)]
            mean = np.mean([measured(calibration, n, count, options.alpha, one) for one in trials], axis=0)
            cells = [f"{loss:.2f}, {100 * share:.1f} %" for part in (0, -2, -1) for loss, share in mean[part]]
            rows.append(figures.printed([path.parent.name, str(n), str(count), str(in_smallest(n, count)), *cells]))
    if options.save:
        figures.save("variations", "score-groups", {"columns": columns, "rows": rows})


if __name__ == "__main__":
    main()
