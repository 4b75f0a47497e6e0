"""Measure how often whole pictures are worse than certified, on the answers that draw_trust_table.py drew.

    python examples/measure_certified_quality.py '*/x4/bicubic/*' 'free reference/x4/*' --out table

Random splits calibrate with three quarters of a collection's photographs and certify the others. "free reference" must
be drawn, as it is what answers are compared with. *worse*: percent of the certified photographs, the highest of the
five collections in brackets; *PSNR*: certified, on average, by the rule and by the same rule without the reference.
"""

from collections import defaultdict
from pathlib import Path

import figures
import numpy as np
from measure_trust_table import PART, splits
from trust_table_pieces import OUT, Piece, Table, parser_of

from blackbox_conformal.documents.certificate import MISS_RATE
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.whole_errors import LEAST, WholeErrors, whole_errors
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import member

REFERENCE = "free reference"
COLUMNS = "network, inputs, worse by PSNR, by SSIM, by mean error, PSNR, PSNR without reference"


def errors_of(piece: Piece, out: Path) -> WholeErrors:
    """Errors of the answers of a piece, from the truth and from the free reference."""
    known, metric = Piece(REFERENCE, piece.scale, piece.making, piece.collection), member("metrics", DEFAULT_METRIC)
    found = []
    for file in sorted(piece.photographs(out).glob("*.png")):
        answer = read_image(piece.outputs(out) / file.name).pixels
        height, width = answer.shape[:2]
        sides = (read_image(folder / file.name).pixels[:height, :width] for folder in (file.parent, known.outputs(out)))
        errors = [whole_errors(one, answer, metric.map(one, answer).mean() / metric.bound) for one in sides]
        found.append(WholeErrors.of(errors[0], errors[1] + LEAST))
    return WholeErrors.together(found)


def certified(errors: WholeErrors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every certified photograph of every split: what is worse, (., 3), and its PSNR by both rules."""
    worse, psnr, constant = [], [], []
    alone = WholeErrors(np.stack([errors.values[:, 0], np.ones((len(errors), 3))], axis=1))
    for calibrating, others in splits(len(errors), round(PART * len(errors))):
        limits = errors[calibrating].largest_ratios(MISS_RATE)
        worse.append(errors[others].ratios > limits)
        psnr.append(-10 * np.log10(limits[0] * np.sqrt(errors[others].values[:, 1, 0])))
        constant.append(np.full(len(others), -10 * np.log10(alone[calibrating].largest_ratios(MISS_RATE)[0])))
    return np.concatenate(worse), np.concatenate(psnr), np.concatenate(constant)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    options = parser.parse_args()
    groups = defaultdict(list)
    for piece in Table.read(options.table).pieces(options.pieces):
        if piece.network != REFERENCE and piece.outputs(options.out).is_dir():
            groups[piece.network, f"{piece.making}, x{piece.scale}"].append(piece)
    rows = [figures.heading(COLUMNS.split(", "))]
    for (network, inputs), pieces in groups.items():
        found = [certified(errors_of(piece, options.out)) for piece in pieces]
        rates = np.array([100 * worse.mean(axis=0) for worse, _, _ in found])
        psnr, constant = (np.mean([part[place].mean() for part in found]) for place in (1, 2))
        shares = (f"{mean:.1f} ({most:.0f})" for mean, most in zip(rates.mean(axis=0), rates.max(axis=0), strict=True))
        rows.append(figures.printed([network, inputs, *shares, f"{psnr:.1f}", f"{constant:.1f}"]))


if __name__ == "__main__":
    main()
