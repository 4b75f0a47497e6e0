"""Measure the trusted shares that `plan` expects: many promises, levels and numbers, on photographs of many kinds.

    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws/ClearReality4x/Kodak24 --model ClearReality4x
    python examples/measure_frontier.py draws --embedded --curves curves
    python examples/measure_frontier.py draws --embedded --curves curves-of-detail --detail

DRAWS holds a folder for each vendor, and in it one for each collection of photographs, as `draw_with_ncnn.py` writes
it: `photographs/` and `outputs/`, eight draws each; promises of detail (`--detail`) take one. With `--embedded` the
vendor that ships with the package draws from the photographs of the first vendor's collections, too. The curves are
kept in CURVES, so that a second run is quick.

Of each vendor and collection, n photographs are drawn with replacement to calibrate, and the share that they trust of
the collection is averaged. A row of the file is the mean over vendors and collections. Its error is how far nine in
ten outcomes of the collection that is farthest off lie from the mean of others, which share neither the vendor nor the
collection. `vendors` is how far other vendors are from the embedded one on one collection.
"""

import argparse
import itertools
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import blackbox_conformal as bc
from blackbox_conformal.documents.procedure import delivery_rule
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import Kind
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.plan import expected_shares
from blackbox_conformal.study.plan.expected_shares import COVERED, CurveOutlook
from blackbox_conformal.study.plan.promises import Curves, Promise, measured_curves, promises, ways
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import Setup, member, set_up

NUMBERS = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300)
DELIVERIES = ("first", "consistent")
SCALE = 4
STAND_IN = "embedded"
"""The vendor that can draw a pilot in place of another one."""


@dataclass(frozen=True)
class Table:
    """What one file holds: of which levels, numbers of draws and kinds of curves, and its name."""

    levels: tuple[float, ...]
    draws: tuple[int, ...]
    kinds: tuple[Kind, ...]
    file: str
    detail: bool = False


ERRORS = Table((0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3), (1, 8), ("supremum", "all-but"), expected_shares.FILE)
DETAIL = Table(
    (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6),
    (1,),
    ("supremum", "marked", "clear-share"),
    expected_shares.DETAIL_FILE,
    True,
)

Series = tuple[Promise, int, str]
"""A promise, a number of draws, and which picture is delivered."""


@dataclass(frozen=True)
class Cell:
    """One vendor on one collection of photographs, and the curves of each number of draws and delivery."""

    vendor: str
    collection: str
    curves: dict[tuple[int, str], Curves]

    @property
    def photographs(self) -> int:
        """How many there are."""
        return len(next(iter(self.curves.values()))[0])

    def of(self, series: Series) -> CurveSet:
        """The curves that a promise is about."""
        promise, draws, delivery = series
        return promise.curves(self.curves[draws, delivery])

    def outlook(self, series: Series) -> CurveOutlook:
        """What calibrations on its photographs would trust, with what is promised beside."""
        promise, draws, delivery = series
        return CurveOutlook.of(self.of(series), self.curves[draws, delivery][0] if promise.of_detail else None)

    def apart(self, other: "Cell") -> bool:
        """Whether it shares neither the vendor nor the collection."""
        return self.vendor != other.vendor and self.collection != other.collection


def all_series(metric: Metric, table: Table = ERRORS) -> list[Series]:
    """Everything that is measured."""
    promised = [one for one in promises(metric, detail=table.detail) if one.of_detail == table.detail]
    return list(itertools.product(promised, table.draws, map(delivery_rule, DELIVERIES)))


def every_way(adapter: bc.Adapter, table: Table) -> list[Setup]:
    """The set-ups of all numbers of draws and deliveries."""
    return ways(set_up(adapter, scale=SCALE, draws=max(table.draws)), table.draws, deliver_consistent=True)


def measure(draws: Path, folder: Path, table: Table, *, embedded: bool) -> None:
    """Compute and keep the curves of every vendor and collection that `folder` does not hold yet."""
    for place in sorted(draws.glob("*/*/outputs")):
        vendor, collection = place.parts[-3:-1]
        if not (folder / vendor / collection).exists():
            adapter = bc.load_adapter("folder", path=str(place), label=vendor)
            keep(adapter, place.parent / "photographs", folder / vendor / collection, table)
        if embedded and not (folder / "embedded" / collection).exists():
            keep(bc.load_adapter("embedded"), place.parent / "photographs", folder / "embedded" / collection, table)


def keep(adapter: bc.Adapter, photographs: Path, folder: Path, table: Table) -> None:
    """Compute the curves of one vendor and collection, and write them."""
    compared = every_way(adapter, table)
    job = Job.of_photographs(compared[0], sorted(photographs.iterdir()), Terms(folder.parent / f"{folder.name}.run"))
    with job.run(partial(measured_curves, job, compared), scores=[way.score for way in compared]) as measured_ones:
        found = sorted(((drawn.prepared.name, curves) for drawn, curves in measured_ones), key=lambda one: one[0])
    folder.mkdir(parents=True)
    for place, way in enumerate(compared):
        for name in table.kinds:
            of_kind = (next(curve for curve in curves[place] if curve.kind == name) for _, curves in found)
            curves = CurveSet.from_curves(list(of_kind))
            (folder / _file(way.procedure.draws, way.procedure.delivery, name)).write_bytes(curves.to_bytes())
    print(f"{folder.parent.name} on {folder.name}: {len(found)} photographs", file=sys.stderr)


def _file(draws: int, delivery: str, kind: str) -> str:
    return f"{draws}-{delivery.partition(':')[0]}-{kind}"


def read(folder: Path, table: Table = ERRORS) -> list[Cell]:
    """All cells whose curves are kept."""
    cells = []
    first = _file(table.draws[0], DELIVERIES[0], table.kinds[0])
    for place in sorted(path.parent for path in folder.glob(f"*/*/{first}")):
        curves = {
            (draws, delivery_rule(delivery)): tuple(
                CurveSet.from_bytes((place / _file(draws, delivery, kind)).read_bytes()) for kind in table.kinds
            )
            for draws, delivery in itertools.product(table.draws, DELIVERIES)
        }
        cells.append(Cell(place.parent.name, place.name, curves))
    return cells


def outcomes(cell: Cell, series: Series, levels: Sequence[float] = ERRORS.levels) -> NDArray[np.float64]:
    """(outcomes, levels, numbers): what calibrations on photographs of the cell trust of its collection."""
    outlook, rule = cell.outlook(series), series[0].rule
    return np.stack([outlook.outcomes(rule, levels, n) for n in NUMBERS], axis=2)


def shares_and_errors(
    cells: Sequence[Cell], found: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean share of `found`, the outcomes of each cell, and the error of one cell: both (levels, numbers)."""
    means = np.stack([one.mean(axis=0) for one in found])
    misses: dict[str, list[NDArray[np.float64]]] = {}
    for cell, one in zip(cells, found, strict=True):
        others = [place for place, other in enumerate(cells) if other.apart(cell)]
        misses.setdefault(cell.collection, []).append(np.abs(one - means[others].mean(axis=0)))
    of_collections = [np.quantile(np.concatenate(some), COVERED, axis=0) for some in misses.values()]
    # The next collection may be the one farthest off: the rank of split conformal prediction (Vovk et al. 2005).
    rank = min(len(misses), math.ceil(COVERED * (len(misses) + 1)))
    return means.mean(axis=0), np.sort(of_collections, axis=0)[rank - 1]


def vendor_errors(cells: Sequence[Cell], found: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """How far nine in ten of the other vendors' mean shares are from the stand-in's on the same collection."""
    means = {(cell.vendor, cell.collection): one.mean(axis=0) for cell, one in zip(cells, found, strict=True)}
    apart = [
        np.abs(share - means[STAND_IN, collection])
        for (vendor, collection), share in means.items()
        if vendor != STAND_IN and (STAND_IN, collection) in means
    ]
    return np.quantile(apart, COVERED, axis=0)


def content(cells: Sequence[Cell], table: Table) -> dict[str, object]:
    """What the file says."""
    metric: Metric = member("metrics", DEFAULT_METRIC)
    series = {}
    for one in all_series(metric, table):
        found = [outcomes(cell, one, table.levels) for cell in cells]
        shares, errors = shares_and_errors(cells, found)
        kinds = {"shares": shares, "errors": errors, "vendors": vendor_errors(cells, found)}
        whole = {name: np.round(expected_shares.WHOLE * values).astype(int).tolist() for name, values in kinds.items()}
        series[expected_shares.series_name(*one)] = whole
    vendors = sorted({cell.vendor for cell in cells})
    collections = {cell.collection: cell.photographs for cell in cells}
    compared = every_way(bc.load_adapter("embedded"), table)
    return {
        "source": f"{len(vendors)} vendors ({', '.join(vendors)}) on {sum(collections.values())} photographs ("
        + ", ".join(f"{count} of {name}" for name, count in sorted(collections.items()))
        + ")",
        "settings": {
            "scale": SCALE,
            "degradation": compared[0].procedure.degradation,
            "metric": compared[0].procedure.metric,
            "scores": {str(way.procedure.draws): way.procedure.score for way in compared},
        },
        "levels": table.levels,
        "numbers": NUMBERS,
        "series": series,
    }


def main() -> int:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draws", type=Path)
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--detail", action="store_true", help="measure promises of detail instead of errors")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    table = DETAIL if options.detail else ERRORS
    out: Path = options.out or Path(expected_shares.__file__).with_name(table.file)
    measure(options.draws, options.curves, table, embedded=options.embedded)
    cells = read(options.curves, table)
    if not any(cell.apart(other) for cell, other in itertools.product(cells, cells)):
        sys.exit("expected several vendors and several collections of photographs, so that errors can be measured")
    made = content(cells, table)
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in made.pop("series").items())
    head = json.dumps(made, indent=1).removesuffix("\n}")
    out.write_text(f'{head},\n "series": {{\n{rows}\n }}\n}}\n', encoding="utf-8")
    print(f"{len(cells)} cells, {out}: {out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
