"""Calibrate on one kind of picture and mask another: realised risk, clear share, and whether the package notices.

    python examples/measure_trust_shift.py 'ClearReality4x/x4/*' 'spanx4_ch48/x4/*' --out table

Half of the photographs of a piece that measure_trust_table.py calibrated give a threshold of `marked`, and others of
another piece are masked with it, 40 times: other collections, other networks (a vendor that changes its model unsaid),
other makings of inputs. *noticed* is in how many of those batches `mask` would have said that the inputs
differ (at 5 %) or that the answers drifted (at 1 %).
"""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import figures
import numpy as np
from measure_trust_table import GUARANTEE, SPLITS, calibrated, is_drawn, splits, threshold
from trust_table_picture import picture
from trust_table_pieces import OUT, Piece, Table, parser_of

from blackbox_conformal.method.audits.drift import drift
from blackbox_conformal.method.audits.input_shift import compare
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.metrics import invention
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.study.stages.settings import member
from blackbox_conformal.support.files import write_new

ALPHA = 0.2
OUTSIDERS = 0.05
SPLIT = 0.5
SCALE = 4
FREE = ("plain enlargement", "free reference")
"""The one invents nothing, and the other is what the score compares with."""

COLUMNS = "calibrated on, used on, risk, clear, noticed, risk with outsiders, clear with outsiders"
FEW = 3.0
"""Standard errors above the level that chance alone hardly exceeds."""


@dataclass(frozen=True)
class Shift:
    """What came of calibrating on one piece and masking another; a row a photograph, means over the splits."""

    risk: np.ndarray
    clear: np.ndarray
    noticed: np.floating
    risk_with: np.ndarray
    clear_with: np.ndarray

    @property
    def cells(self) -> list[str]:
        """As a row has it; after ± stands a standard error over photographs."""
        error = self.risk.std(ddof=1) / len(self.risk) ** 0.5
        return [
            f"{self.risk.mean():.3f}±{error:.3f}",
            f"{100 * self.clear.mean():.0f}",
            f"{100 * self.noticed:.0f}",
            f"{self.risk_with.mean():.3f}",
            f"{100 * self.clear_with.mean():.0f}",
        ]

    @classmethod
    def together(cls, parts: Iterable["Shift"]) -> "Shift":
        """Of several collections or networks."""
        every = list(parts)
        joined = [np.concatenate([getattr(part, name) for part in every]) for name in ("risk", "clear")]
        others = [np.concatenate([getattr(part, name) for part in every]) for name in ("risk_with", "clear_with")]
        return cls(*joined, np.mean([part.noticed for part in every]), *others)


class Shifts:
    """Pairs of pieces in a folder."""

    def __init__(self, table: Table, out: Path) -> None:
        self.table, self.out = table, out
        self.calibration = cache(lambda piece: calibrated(piece, table, out))
        self.levels = cache(self._levels)
        self._differ: dict[tuple[str, str, str, str, int], bool] = {}

    def of(self, known: Piece, new: Piece) -> Shift:
        """Calibrated on `known`, used on `new`; what was measured lies in the folder and is not measured again."""
        file = self.out / "shifts" / known.name / f"{new.name}.json"
        if not file.exists():
            found = {name: np.asarray(value).tolist() for name, value in vars(self._measured(known, new)).items()}
            write_new(file, json.dumps(found).encode())
        stored = json.loads(file.read_text(encoding="utf-8"))
        return Shift(**{name: np.array(value) for name, value in stored.items()})

    def _measured(self, known: Piece, new: Piece) -> Shift:
        mine, others, curves = self.calibration(known), self.calibration(new), self.curves(known, new)
        count = len(curves)
        found = np.full((4, count, SPLITS), np.nan)
        noticed = []
        for number, (calibrate, unseen) in enumerate(splits(count, round(SPLIT * count))):
            levels, masked = self.levels(known)[number], curves.subset(unseen)
            for row, level in enumerate(levels):
                found[2 * row, unseen, number] = masked.losses_at(level)
                found[2 * row + 1, unseen, number] = masked.trusted_shares_at(level)
            drifted = drift(mine.answers[calibrate], others.answers[unseen], levels[:1]) is not None
            noticed.append(drifted or self.differ(known, new, number))
        kept = ~np.isnan(found[0]).all(axis=1)
        risk, clear, risk_with, clear_with = np.nanmean(found[:, kept], axis=2)
        return Shift(risk, clear, np.mean(noticed), risk_with, clear_with)

    def _levels(self, known: Piece) -> list[list[float]]:
        """Of each split the thresholds, without and with outsiders."""
        mine = self.calibration(known)
        rules = mine.rule(), mine.rule(f"{GUARANTEE},outsiders={OUTSIDERS}")
        (marked,) = (curves for curves in mine.detail if curves.kind == rules[0].needs.curve_kind)
        return [
            [threshold(marked.subset(chosen), mine.curves.subset(chosen), rule, ALPHA) for rule in rules]
            for chosen, _ in splits(mine.n, round(SPLIT * mine.n))
        ]

    def differ(self, known: Piece, new: Piece, number: int) -> bool:
        """Whether `mask` would call the inputs of one batch others than the calibration's; no network matters."""
        key = (known.making, known.collection, new.making, new.collection, number)
        if key not in self._differ:
            mine, others = self.calibration(known).inputs, self.calibration(new).inputs
            calibrate, unseen = list(splits(len(mine), round(SPLIT * len(mine))))[number]
            self._differ[key] = compare(mine[calibrate.tolist()], others[unseen.tolist()]).differ
        return self._differ[key]

    def curves(self, known: Piece, new: Piece) -> CurveSet:
        """Curves of `new` as the calibration of `known` scores it: clean and degraded inputs have other weights."""
        mine, others = self.calibration(known), self.calibration(new)
        if mine.procedure.score == others.procedure.score:
            (marked,) = (curves for curves in others.detail if curves.kind == "marked")
            return marked
        file = self.out / "shifted" / known.making / f"{new.name}.json"
        if not file.exists():
            write_new(file, json.dumps(CurveSet.from_curves(list(self._scored(known, new))).to_text()).encode())
        return CurveSet.from_text(json.loads(file.read_text(encoding="utf-8")))

    def _scored(self, known: Piece, new: Piece) -> Iterator[RiskCurve]:
        mixture = Mixture.of_text(self.table.makings[known.making]).at(SCALE)
        score, rule = member("scores", "predicted-invention").suited(mixture), self.calibration(known).rule()
        for image in self.calibration(new).images:
            truth, low, given = (
                read_image(folder / f"{Path(image.name).stem}.png").pixels
                for folder in (new.photographs(self.out), new.inputs(self.out), new.outputs(self.out))
            )
            map_ = accumulated_map(score, [given], Context(given, low, SCALE))
            made = Mixture.of_text(self.table.makings[new.making]).at(SCALE)
            energies = invention.PLUGIN().energies(truth, given, low, made)
            curve = RiskCurve.from_maps(map_, energies.share, bound=1.0)
            yield next(one for one in curve.of_detail(map_, energies, rule.threshold_ceiling) if one.kind == "marked")


def pairs(pieces: list[Piece], shifts: Shifts) -> Iterator[tuple[str, list[str]]]:
    """The name of a table and one row of it, for every pair of collections, networks and makings."""
    networks = list(dict.fromkeys(piece.network for piece in pieces))
    makings = list(dict.fromkeys(piece.making for piece in pieces))
    collections = list(dict.fromkeys(piece.collection for piece in pieces))
    there = set(pieces)

    def rows(kind: str, names: list[str], made: dict[str, list[Piece]]) -> Iterator[tuple[str, list[str]]]:
        for one, other in itertools.product(names, repeat=2):
            couples = zip(made[one], made[other], strict=True)
            found = Shift.together(shifts.of(*couple) for couple in couples if there.issuperset(couple))
            yield f"shift, {kind}", figures.printed([one, other, *found.cells])

    clean = makings[0]
    yield from rows("collections", collections, {c: [Piece(n, SCALE, clean, c) for n in networks] for c in collections})
    yield from rows(
        "makings", makings, {m: [Piece(n, SCALE, m, c) for n in networks for c in collections] for m in makings}
    )
    yield from rows("networks", networks, {n: [Piece(n, SCALE, clean, c) for c in collections] for n in networks})


def summary(tables: dict[str, list[list[str]]]) -> list[list[str]]:
    """Of each kind of shift: how many pairs there are, how many exceed the level, and how many of those unnoticed."""
    found = []
    for name, rows in tables.items():
        others = [row for row in rows if row[0] != row[1]]
        if not others:
            continue
        above, with_outsiders = [], 0
        for row in others:
            risk, error = map(float, row[2].split("±"))
            if risk > ALPHA + FEW * error:
                above.append(row)
            with_outsiders += float(row[5]) > ALPHA + FEW * error
        unnoticed = [row for row in above if int(row[4]) < 50]
        worst = max(others, key=lambda row: float(row[2].split("±")[0]))
        said = f"{worst[2]}: {worst[0]} → {worst[1]}, noticed {worst[4]} %"
        kind = name.removeprefix("shift, ")
        found.append([kind, str(len(others)), str(len(above)), str(len(unnoticed)), said, str(with_outsiders)])
    return found


SUMMARY = "kind, pairs, above, above and unnoticed, largest risk, above with outsiders"


def main() -> int:
    """Measure every pair of the pieces that were asked for and are drawn."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    options = parser.parse_args()
    table = Table.read(options.table)
    pieces = [
        piece
        for piece in table.pieces(options.pieces)
        if piece.scale == SCALE and piece.network not in FREE and is_drawn(piece, table, options.out)
    ]
    found: dict[str, list[list[str]]] = {}
    figures.heading(COLUMNS.split(", "))
    for name, row in pairs(pieces, Shifts(table, options.out)):
        found.setdefault(name, []).append(row)
    tables = {name: {"columns": COLUMNS.split(", "), "rows": rows} for name, rows in found.items()}
    tables["shift"] = {"columns": figures.heading(SUMMARY.split(", ")), "rows": summary(found)}
    for row in tables["shift"]["rows"]:
        figures.printed(row)
    if options.save:
        for name, one in tables.items():
            figures.save("trust-table", name, one)
        (figures.DOCS / "pictures" / "trust-shift.svg").write_text(picture(tables), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
