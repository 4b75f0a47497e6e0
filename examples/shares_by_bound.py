"""How much few photographs let be trusted, by the bound of a picture's own loss and by the method of high-probability.

    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws --draws 1
    python examples/shares_by_bound.py draws

It prints the two tables of docs/guarantees.md, and how many pixels' errors exceed a bound.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.guarantee import Guarantee, guarantee
from blackbox_conformal.method.guarantees.instance_bound import bound_curve
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

SCALE, SPLITS = 4, 20
STEPS = Mixture.of_text("bicubic:4").chains[0].steps
METHODS: Mapping[str, Mapping[str, str | float]] = {
    "hoeffding-bentkus": {"method": "hoeffding-bentkus"},
    "mixture": {"method": "mixture"},
    "full=0.5": {"method": "mixture", "full": 0.5},
    "full=0.75": {"method": "mixture", "full": 0.75},
}


@dataclass(frozen=True, eq=False)
class Photograph:
    """Its risk curve, its own bounds by source, and how many errors exceed them."""

    curve: RiskCurve
    bounds: Mapping[str, RiskCurve]
    largest: Mapping[str, float]
    violations: int


def measured(folder: Path, name: str, metric: LabL1) -> Photograph:
    """One photograph with the score bicubic-gap of sigma 8."""
    truth, low = (read_image(next((folder / part).glob(f"{name}.*"))).pixels for part in ("photographs", "inputs"))
    delivered = read_image(folder / "outputs" / name / "0.png").pixels
    size = (delivered.shape[1], delivered.shape[0])
    enlarged = np.asarray(Image.fromarray(low).resize(size, Image.Resampling.BICUBIC), np.float32)
    scores = gaussian(np.abs(enlarged - delivered).sum(axis=2) / np.float32(255), 8.0)
    errors = metric.map(truth, delivered)
    maps = {
        "delivered": metric.bound_from_delivered(delivered),
        "input": metric.bound_from_input(low, delivered, STEPS, SCALE),
    }
    return Photograph(
        RiskCurve.from_maps(scores, errors, bound=metric.bound),
        {source: bound_curve(scores, values, metric.bound) for source, values in maps.items()},
        {source: float(values.max()) for source, values in maps.items()},
        sum(int(np.count_nonzero(errors > values)) for values in maps.values()),
    )


def splits(photographs: Sequence[Photograph], n: int) -> list[tuple[CurveSet, list[Photograph]]]:
    """Random splits into n that calibrate and the others."""
    rng = np.random.default_rng(5)
    orders = [rng.permutation(len(photographs)) for _ in range(SPLITS)]
    return [
        (
            CurveSet.from_curves([photographs[index].curve for index in order[:n]]),
            [photographs[index] for index in order[n:]],
        )
        for order in orders
    ]


def trusted(rule: Guarantee, calibration: CurveSet, alpha: float, others: Sequence[Photograph], source: str) -> float:
    """Mean trusted share of the other photographs, each with its own bound where `source` is not ``metric``."""
    if source == "metric":
        threshold = rule.threshold(calibration, alpha)
        return float(np.mean(CurveSet.from_curves([one.curve for one in others]).trusted_shares_at(threshold)))
    shares = []
    for one in others:
        threshold = rule.with_bound(one.bounds[source]).threshold(calibration, alpha)
        shares.append(float(CurveSet.from_curves([one.curve]).trusted_shares_at(threshold)[0]))
    return float(np.mean(shares))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draws", type=Path)
    folder = parser.parse_args().draws
    names = sorted(path.name for path in (folder / "outputs").iterdir())
    for order in ("blur-of-difference", "difference-of-blurs"):
        metric = LabL1(order=order, kernel="gaussian", sigma=4.0)
        photographs = [measured(folder, name, metric) for name in names]
        means = {source: np.mean([one.largest[source] for one in photographs]) for source in ("delivered", "input")}
        print(f"{order}: largest bound of a picture", {source: f"{mean:.3f}" for source, mean in means.items()})
        print(f"  errors above a bound: {sum(one.violations for one in photographs)}")
        for n in (25, 50):
            for alpha in (0.05, 0.1):
                shares = {
                    source: np.mean(
                        [
                            trusted(guarantee("expected"), split[0], alpha, split[1], source)
                            for split in splits(photographs, n)
                        ]
                    )
                    for source in ("metric", *means)
                }
                print(f"  n={n} alpha={alpha:g}", {source: f"{mean:.1%}" for source, mean in shares.items()})
        for n, alpha in ((25, 0.2), (25, 0.3), (50, 0.15), (50, 0.2), (50, 0.3)) if order.startswith("blur") else ():
            shares = {
                name: np.mean(
                    [
                        trusted(guarantee("high-probability", **method), split[0], alpha, split[1], "metric")
                        for split in splits(photographs, n)
                    ]
                )
                for name, method in METHODS.items()
            }
            print(f"  high-probability n={n} alpha={alpha:g}", {name: f"{mean:.1%}" for name, mean in shares.items()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
