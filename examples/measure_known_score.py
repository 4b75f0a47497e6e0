"""A vendor that learns how it is scored: how much of its invention is clear, and how often `mask` notices.

    python examples/measure_known_score.py ClearReality4x spanx4_ch48 --out table [--save]

Works on what draw_trust_table.py drew at ×4, `free reference` included. A network calibrates with its own answers, and
then sends so many times the detail of the free reference, which the score compares with, and so many times its own. 40
photographs calibrate and 24 others are masked with `marked` at 0.2: as one batch, and one by one.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
from measure_trust_table import calibrated, threshold
from trust_table_pieces import HERE, OUT, Piece, Table

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.audits.drift import drift
from blackbox_conformal.method.audits.stream_evidence import ANSWERS
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support.files import write_new
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import log_wealth, p_values

MIXTURES = ((0.0, 1.0), (1.2, 0.5), (0.6, 0.8))
"""Times the detail of the reference, and times its own; the first is the honest vendor."""

ALPHA, CALIBRATE, MASK, BATCHES, STREAMS = 0.2, 40, 24, 400, 60
COLUMNS = (
    "network, then sends, risk at 0.2, batches warned of, without the agreement with the reference, "
    "one by one: found, at the median after"
)


def mixed(piece: Piece, of_free: float, own: float, table: Table, out: Path) -> Piece:
    """The piece whose answers are mixtures of those of `piece` and the free reference, drawn where they are not."""
    if not of_free:
        return piece
    other = replace(piece, network=f"{of_free:g} × reference + {own:g} × {piece.network}")
    for file in piece.outputs(out).glob("*.png"):
        if not (goal := other.outputs(out) / file.name).exists():
            folders = piece.inputs(out), replace(piece, network="free reference").outputs(out), piece.outputs(out)
            low, free, given = (read_image(folder / file.name).pixels for folder in folders)
            plain = bicubic_up(low, piece.scale).astype(np.float32)
            answer = plain + of_free * (free - plain) + own * (given - plain)
            write_new(goal, image_png(np.clip(np.rint(answer), 0, 255).astype(np.uint8)))
    return other


class Pool:
    """The photographs of all collections with one network's answers, in the order of their calibrations."""

    def __init__(self, calibrations: list[Calibration]) -> None:
        kinds = [next(kind for kind in one.detail if kind.kind == "marked") for one in calibrations]
        self.marked = CurveSet.from_curves([curve for kind in kinds for curve in kind])
        self.errors = CurveSet.from_curves([curve for one in calibrations for curve in one.curves])
        self.answers = Answers.together(one.answers for one in calibrations)
        self.inputs = InputStatistics.together(one.inputs for one in calibrations)
        self.rule = calibrations[0].rule()


def found(own: Pool, sent: Pool) -> list[str]:
    """Risk and shares of batches and streams that were noticed, as a row has them."""
    risks, noticed, without, places = [], [], [], []
    for seed in range(BATCHES):
        order = np.random.default_rng(seed).permutation(len(own.marked))
        first, new = order[:CALIBRATE].tolist(), order[CALIBRATE : CALIBRATE + MASK].tolist()
        chosen = np.sort(order[:CALIBRATE])
        level = threshold(own.marked.subset(chosen), own.errors.subset(chosen), own.rule, ALPHA)
        risks.append(sent.marked.losses_at(level)[new].mean())
        known, seen = own.answers[first], sent.answers[new]
        noticed.append(drift(known, seen, [level]) is not None)
        without.append(drift(Answers(known.values[:, :-1]), Answers(seen.values[:, :-1]), [level]) is not None)
        if seed < STREAMS:
            inputs = InputStatistics.together([own.inputs[first], own.inputs[new]])
            places.append(alarm(inputs, Answers.together([known, seen]), level, np.random.default_rng(seed)))
    soon = [place for place in places if place]
    after = f"{np.median(soon):g}" if soon else "–"
    shares = (f"{100 * np.mean(each):.3g} %" for each in (noticed, without, np.array(places) > 0))
    return [f"{np.mean(risks):.3f}", *shares, after]


def alarm(inputs: InputStatistics, answers: Answers, level: float, random: np.random.Generator) -> int:
    """After how many pictures the answers are an alarm; 0: after none."""
    places = range(CALIBRATE + 1, len(answers) + 1)
    rows = [p_values(inputs[range(n)], answers[range(n)], level, lambda _: random.random()) for n in places]
    bets = np.array([[row.get(name, np.nan) for name in ANSWERS] for row in rows])
    above = log_wealth(bets).max(axis=1) >= np.log(len(ANSWERS) / Level().answers)
    return int(above.argmax()) + 1 if above.any() else 0


def main() -> int:
    """Measure the networks that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    parser.add_argument("--save", action="store_true", help="make what was found the table of the documentation")
    options = parser.parse_args()
    table, rows = Table.read(HERE / "pieces.toml"), []
    figures.heading(COLUMNS.split(", "))
    for network in options.networks:
        pieces = [Piece(network, 4, "bicubic", collection) for collection in table.collections]
        pools = [
            Pool([calibrated(mixed(piece, *mixture, table, options.out), table, options.out) for piece in pieces])
            for mixture in MIXTURES
        ]
        for (of_free, own), pool in zip(MIXTURES, pools, strict=True):
            sends = f"{of_free:g} × the reference's detail + {own:g} × its own" if of_free else "the same"
            rows.append(figures.printed([network, sends, *found(pools[0], pool)]))
    if options.save:
        figures.save("audits", "known-score", {"columns": COLUMNS.split(", "), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
