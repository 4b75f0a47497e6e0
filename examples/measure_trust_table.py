"""Measure the rows of the trust table from the answers that draw_trust_table.py drew.

    python examples/measure_trust_table.py 'ClearReality4x/x4/bicubic/*' --out table

Each collection is calibrated once by the package's own `calibrate`, and its score maps, curves and thresholds are the
package's. Random splits calibrate with some of a collection's photographs and mask the others; pieces of one network,
scale and making are also pooled as "all five". Rows that were measured lie in the folder and are not measured again.
After ± stands half of where 95 % of the means over as many photographs drawn anew lie.

- *risk*: of `marked`, the share of a picture's invented detail that is clear, on photographs that did not calibrate;
- *clear*: percent of the picture;
- *right kept*, *invented left*: percent of the right and of the invented detail of all pictures that is clear;
- *dB clear*, *dB hatched*: by how much the network is nearer to the truth there than plain enlargement;
- *planted*: percent of changed pixels that are hatched where, in a disc, the network's detail was exchanged by its
  detail in another photograph;
- *USD a picture*: what a service posts, where one sells the network.
"""

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import figures
import numpy as np
from measure_predicted_invention import Known, shares, sums
from trust_table_pieces import OUT, Piece, Table, parser_of

import blackbox_conformal as bc
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.metrics import invention
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.study.stages.settings import member

GUARANTEE = "marked:largest_error=0.3"
"""What `calibrate` promises of an enlargement unless told otherwise."""

ALPHAS = (0.1, 0.2)
PART = 0.75
"""Of the photographs that calibrate."""

SPLITS, RESAMPLES = 40, 1000
RADIUS, SEAM, SEEN, FEWEST = 24, 4.0, 10, 20
"""Of planted detail: its disc and its soft border in pixels; grey levels that count as a change, and pixels of it."""

COLUMNS = (
    "network, scale, inputs, photographs, calibrate, risk at 0.1, clear at 0.1, risk at 0.2, clear at 0.2, "
    "right kept, invented left, dB clear, dB hatched, planted, USD a picture"
)
FORMS = ("{:.3f}", *["{:.0f}"] * 3, *["{:+.1f}"] * 2, "{:.0f}")


@dataclass(frozen=True)
class Measured:
    """What is known of the photographs of a collection, in the order of their curves.

    `planted`: the score map of each answer with planted detail, and where that shows.
    """

    marked: CurveSet
    errors: CurveSet
    rule: Guarantee
    rows: list[Known] = field(repr=False)
    planted: list[tuple[np.ndarray, np.ndarray]] = field(repr=False)

    def __add__(self, other: "Measured") -> "Measured":
        together = (
            CurveSet.from_curves([*a, *b]) for a, b in ((self.marked, other.marked), (self.errors, other.errors))
        )
        return Measured(*together, self.rule, self.rows + other.rows, self.planted + other.planted)

    def threshold(self, chosen: np.ndarray, alpha: float, rule: Guarantee | None = None) -> float:
        """What a calibration with some of the photographs would mask with."""
        return threshold(self.marked.subset(chosen), self.errors.subset(chosen), rule or self.rule, alpha)


def threshold(marked: CurveSet, errors: CurveSet, rule: Guarantee, alpha: float) -> float:
    """The largest threshold that keeps a guarantee of detail at `alpha`, and what it promises beside."""
    assert rule.beside is not None
    other, level = rule.beside
    return rule.choose(marked.up_to(other.choose(errors, level).threshold), alpha).threshold


def calibrated(piece: Piece, table: Table, out: Path) -> bc.Calibration:
    """The calibration of all photographs of a piece, made by the package unless it is there."""
    file = out / "calibrations" / f"{piece.name}.json"
    if file.exists():
        return bc.Calibration.load(file)
    vendor = bc.load_adapter("folder", path=str(piece.outputs(out)), label=piece.network, scale=piece.scale)
    calibration = bc.calibrate(
        vendor,
        piece.photographs(out),
        degradation=table.makings[piece.making],
        guarantee=GUARANTEE,
        run=out / "runs" / piece.name,
        progress=False,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    calibration.save(file)
    return calibration


def measured(piece: Piece, table: Table, out: Path) -> Measured:
    """Curves, score maps and energies of a piece."""
    calibration, mixture = calibrated(piece, table, out), Mixture.of_text(table.makings[piece.making]).at(piece.scale)
    score, rule = member("scores", calibration.procedure.score["name"]).suited(mixture), calibration.rule()
    stems = [Path(image.name).stem for image in calibration.images]
    read = [
        [read_image(folder / f"{stem}.png").pixels for stem in stems]
        for folder in (piece.photographs(out), piece.inputs(out), piece.outputs(out))
    ]
    rows, planted = [], []
    details = [given.astype(np.float32) - bicubic_up(low, piece.scale) for low, given in zip(*read[1:], strict=True)]
    for index, (truth, low, delivered) in enumerate(zip(*read, strict=True)):
        context, plain = Context(delivered, low, piece.scale), bicubic_up(low, piece.scale)
        energies = invention.PLUGIN().energies(truth, delivered, low, mixture)
        apart = [((picture.astype(np.float32) - truth) ** 2).mean(axis=2) for picture in (delivered, plain)]
        sums_of = np.stack([energies.whole - energies.part, energies.part, *apart])
        rows.append(Known(sums_of, {"score": accumulated_map(score, [delivered], context)}, []))
        changed = exchanged(plain, details[index], details[(index + 1) % len(details)], index)
        shows = np.abs(changed.astype(np.float32) - delivered).mean(axis=2) >= SEEN
        context = Context(changed, low, piece.scale)
        planted.append((accumulated_map(score, [changed], context), shows))
    (marked,) = (curves for curves in calibration.detail if curves.kind == rule.needs.curve_kind)
    return Measured(marked, calibration.curves, rule, rows, planted)


def exchanged(plain: np.ndarray, own: np.ndarray, other: np.ndarray, seed: int) -> np.ndarray:
    """A picture of plain enlargement and the network's own detail, with its detail of another photograph in a disc."""
    height, width, _ = plain.shape
    random = np.random.default_rng(seed)
    row, column = (random.uniform(RADIUS, side - RADIUS) if side > 2 * RADIUS else side / 2 for side in (height, width))
    inside = np.hypot(*np.ogrid[-row : height - row, -column : width - column]) < RADIUS
    weight = gaussian(inside.astype(np.float32), SEAM)[..., None]
    return np.clip(np.rint(plain + own * (1 - weight) + other * weight), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Parts:
    """Of each photograph: sums over its clear part and its whole, (., 5), its risk, and the planted pixels hatched."""

    clear: np.ndarray
    whole: np.ndarray
    risk: np.ndarray
    planted: np.ndarray

    def figures(self, drawn: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Risk, clear, right kept, invented left, dB in the clear and in the hatched part, planted hatched."""
        clear, whole = self.clear[drawn], self.whole[drawn]
        pixels = whole[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            inside, outside = shares(clear, whole, pixels), shares(whole - clear, whole, pixels)
        known = self.planted[drawn]
        known = known[~np.isnan(known)]
        hatched = 100 * known.mean() if known.size else np.nan
        return np.array([self.risk[drawn].mean(), *inside[:3], inside[4], outside[4], hatched])


def splits(count: int, calibrating: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The photographs that calibrate and those that are masked, many times."""
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(count)
        yield np.sort(order[:calibrating]), np.sort(order[calibrating:])


def parts_of(found: Measured, calibrating: int, alpha: float) -> Parts:
    """Means of each photograph over the splits that mask it."""
    count = len(found.rows)
    chosen = list(splits(count, calibrating))
    thresholds = np.array([found.threshold(calibrate, alpha) for calibrate, _ in chosen])
    masked = np.array([np.isin(np.arange(count), unseen) for _, unseen in chosen]).T
    kept = np.flatnonzero(masked.any(axis=1))
    risk, clear, whole, planted = [], [], [], []
    for index in kept:
        mine = thresholds[masked[index]]
        *cleared, all_of_it = sums(found.rows[index], "score", np.array([*mine, np.inf]))
        risk.append(np.mean([found.marked[int(index)].loss(each) for each in mine]))
        clear.append(np.mean(cleared, axis=0))
        whole.append(all_of_it)
        scores, shows = found.planted[index]
        told = shows.sum() >= FEWEST
        planted.append(np.mean([(scores[shows] >= each).mean() for each in mine]) if told else np.nan)
    return Parts(np.array(clear), np.array(whole), np.array(risk), np.array(planted))


def cells(found: Measured) -> list[str]:
    """A row behind its names: numbers with their intervals."""
    calibrating = round(PART * len(found.rows))
    said: list[str] = [str(calibrating)]
    for alpha in ALPHAS:
        parts = parts_of(found, calibrating, alpha)
        drawn = np.random.default_rng(0).integers(len(parts.risk), size=(RESAMPLES, len(parts.risk)))
        again = np.array([parts.figures(k) for k in drawn]).T
        told = zip(FORMS, parts.figures(), map(half_of, again), strict=True)
        row = ["-" if np.isnan(middle) else spread(form, middle, half) for form, middle, half in told]
        said += row if alpha == ALPHAS[-1] else row[:2]
    return said


def half_of(values: np.ndarray) -> float:
    """Half of where the middle 95 % of values lie, of those that are known."""
    known = values[~np.isnan(values)]
    return float(np.diff(np.percentile(known, [2.5, 97.5]))[0] / 2) if known.size else np.nan


def spread(form: str, middle: float, half: float) -> str:
    """A number and half of its interval."""
    return f"{form.format(middle)}±{form.replace('+', '').format(half)}"


def rows_of(pieces: Sequence[Piece], table: Table, out: Path) -> Iterator[list[str]]:
    """The rows of pieces of one network, scale and making, and of all their photographs where all pieces are there."""
    first = pieces[0]
    everything = len(pieces) == len(table.collections)
    names = [*(piece.collection for piece in pieces), *["all five"] * everything]
    found: list[Measured] = []
    for index, name in enumerate(names):
        file = out / "rows" / first.network / f"x{first.scale}" / first.making / f"{name}.json"
        if not file.exists():
            # The pieces before are read again only where their pool is asked for.
            found = found or [measured(piece, table, out) for piece in pieces]
            row = cells(reduce(Measured.__add__, found) if index == len(pieces) else found[index])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([first.network, f"×{first.scale}", first.making, name, *row]), encoding="utf-8")
        yield [*json.loads(file.read_text(encoding="utf-8")), table.networks[first.network].get("usd", "-")]


def is_drawn(piece: Piece, table: Table, out: Path) -> bool:
    """Whether all answers are there."""
    return len(list(piece.outputs(out).glob("*.png"))) == len(table.collections[piece.collection]["names"].split())


def main() -> int:
    """Measure the pieces that were asked for and are drawn, and say where a row is another than the table's."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    options = parser.parse_args()
    table = Table.read(options.table)
    known = {tuple(row[:4]): row for row in figures.every_table().get("trust-table/rows", {}).get("rows", [])}
    rows, differ = [], 0
    drawn = (piece for piece in table.pieces(options.pieces) if is_drawn(piece, table, options.out))
    print(" | ".join(COLUMNS.split(", ")))
    for _, group in itertools.groupby(drawn, key=lambda piece: (piece.network, piece.scale, piece.making)):
        pieces = list(group)
        for row in rows_of(pieces, table, options.out):
            rows.append(row)
            same = known.get(tuple(row[:4])) == row
            differ += not same
            print(
                " | ".join(row),
                "" if options.save else "(as in the table)" if same else "(NOT as in the table)",
                flush=True,
            )
    if options.save:
        rows.sort(key=lambda row: row[1], reverse=True)
        figures.save("trust-table", "rows", {"columns": COLUMNS.split(", "), "rows": rows})
    return int(bool(differ) and not options.save)


if __name__ == "__main__":
    sys.exit(main())
