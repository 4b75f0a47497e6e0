"""Calibrate on photographs of the trust table, and measure the risk on new ones: of the same collection, and of others.

    python examples/measure_new_photographs.py ClearReality4x spanx4_ch48 --out table --sources sources \
        --packages packages [--save]

A mean over random splits of one pool cannot exceed its level but by a fault of the software. This can: no photograph is
on both sides, and each cell is one calibration. All photographs of the trust table that are of a collection calibrate
`marked` at 0.2, or all that are not of it, and 40 others of the collection are masked. Behind a risk, the mean over
photographs of the share of each photograph's invention that is clear, stands the share of all invention together.
"""

import argparse
import sys
from pathlib import Path

import figures
import numpy as np
from draw_trust_table import draw
from measure_trust_table import Measured, half_of, measured, spread
from trust_table_pieces import HERE, OUT, Piece, Table

SAME = {"new streets": ["streets"], "new BSDS500": ["nature", "people"], "new receipts": ["receipts"]}
SAME["new objects"] = ["objects"]
"""The collections of the trust table that new photographs are of."""

ALPHA, RESAMPLES = 0.2, 2000
COLUMNS = "network, masked, calibrated on the same, pooled, calibrated on the others, pooled (others)"


def cells(known: list[Measured], new: Measured) -> list[str]:
    """Risk with half of its 95 % interval over the masked photographs, and the pooled share in percent."""
    together = known[0] if len(known) == 1 else sum(known[1:], known[0])
    level = together.threshold(np.arange(len(together.rows)), ALPHA)
    losses = new.marked.losses_at(level)
    drawn = np.random.default_rng(0).integers(len(losses), size=(RESAMPLES, len(losses)))
    invented = np.array([row.energies[1].sum() for row in new.rows])
    clear = np.array([row.energies[1][row.scores["score"] < level].sum() for row in new.rows])
    return [spread("{:.3f}", float(losses.mean()), half_of(losses[drawn].mean(axis=1))), share(clear, invented)]


def share(part: np.ndarray, whole: np.ndarray) -> str:
    """In percent."""
    return f"{100 * part.sum() / whole.sum():.0f}"


def main() -> int:
    """Draw and measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    parser.add_argument("--sources", type=Path, required=True, help="folder of the cloned repositories of photographs")
    parser.add_argument("--packages", type=Path, help="folder of the installed packages with networks")
    parser.add_argument("--save", action="store_true", help="make what was found the table of the documentation")
    options = parser.parse_args()
    table, fresh = Table.read(HERE / "pieces.toml"), Table.read(HERE / "new_photographs.toml")
    both = Table(table.side, table.makings, {**table.collections, **fresh.collections}, table.networks)
    rows = []
    figures.heading(COLUMNS.split(", "))
    for network in options.networks:
        found: dict[str, Measured] = {}
        for collection in both.collections:
            piece = Piece(network, 4, "bicubic", collection)
            draw(piece, both, options.sources, options.out, options.packages)
            found[collection] = measured(piece, both, options.out)
        for new, same in SAME.items():
            others = [found[name] for name in table.collections if name not in same]
            row = [*cells([found[name] for name in same], found[new]), *cells(others, found[new])]
            rows.append(figures.printed([network, new.removeprefix("new "), *row]))
    if options.save:
        figures.save("trust-table", "new", {"columns": COLUMNS.split(", "), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
