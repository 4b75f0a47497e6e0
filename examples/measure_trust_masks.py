"""Mask with the package where another network answers, and the tests of single batches mostly miss it.

    python examples/measure_trust_masks.py --out table

Of the pairs of networks that measure_trust_shift.py measured, these are the ones above their level that fewer than half
of the batches show. Half of a collection calibrates with the answers of the one; the other half is masked with those
of the other, under the name of the first: as one batch, with and without `outsiders`, and picture by picture in one
run folder, as a session or a gateway would.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import figures
import numpy as np
from measure_trust_shift import ALPHA, FEW, OUTSIDERS, SCALE, SPLIT, Shifts
from measure_trust_table import GUARANTEE, splits
from trust_table_pieces import OUT, Piece, Table, parser_of

import blackbox_conformal as bc
from blackbox_conformal.support.files import write_new

WITH = f"{GUARANTEE},outsiders={OUTSIDERS}"
STATUSES = ("guaranteed", "if-like-calibration", "outside-calibration", "abstains")
COLUMNS = (
    "calibrated on, used on, risk, batches warned of, guaranteed, if-like-calibration, outside-calibration, abstains, "
    "risk with outsiders, batches warned of with outsiders, one by one: collections warned of, "
    "one by one: outside-calibration"
)


def unnoticed(rows: list[list[str]]) -> Iterator[tuple[str, str]]:
    """The pairs of networks whose risk is above its level in batches that mostly do not show it."""
    for known, new, said, _, noticed, *_ in rows:
        risk, error = map(float, said.split("±"))
        if known != new and risk > ALPHA + FEW * error and int(noticed) < 50:
            yield known, new


def masked(known: Piece, new: Piece, shifts: Shifts) -> dict[str, Any]:
    """Of each way to mask: risks, statuses and the warnings of the package; what is there is not masked again."""
    file = shifts.out / "masked" / known.name / f"{new.name}.json"
    if not file.exists():
        with tempfile.TemporaryDirectory() as folder:
            write_new(file, json.dumps(_masked(known, new, shifts, Path(folder))).encode())
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _masked(known: Piece, new: Piece, shifts: Shifts, folder: Path) -> dict[str, Any]:
    mine, curves, out = shifts.calibration(known), shifts.curves(known, new), shifts.out
    calibrate, unseen = next(splits(mine.n, round(SPLIT * mine.n)))
    names = [f"{Path(image.name).stem}.png" for image in mine.images]

    def vendor(piece: Piece) -> bc.Adapter:
        # Both say that they are the one that was calibrated.
        return bc.load_adapter("folder", path=str(piece.outputs(out)), label=known.network, scale=SCALE)

    calibration = bc.calibrate(
        vendor(known),
        [known.photographs(out) / names[place] for place in calibrate],
        degradation=shifts.table.makings[known.making],
        guarantee=GUARANTEE,
        run=folder / "calibrated",
        progress=False,
    )
    inputs, changed = [new.inputs(out) / names[place] for place in unseen], vendor(new)
    found = {}
    for way, guarantee in (("batch", GUARANTEE), ("outsiders", WITH), ("one by one", GUARANTEE)):
        warnings: list[str] = []
        settings: Any = {"guarantee": guarantee, "run": folder / way, "progress": False, "on_drift": warnings.append}
        batches = [[one] for one in inputs] if way == "one by one" else [inputs]
        results = [
            result for batch in batches for result in bc.mask_all(changed, batch, calibration, ALPHA, **settings)
        ]
        level = results[0].certificate.threshold
        found[way] = {
            "risk": curves.subset(unseen).losses_at(level).tolist(),
            "statuses": Counter(result.certificate.status for result in results),
            "warnings": warnings,
        }
    return found


def row_of(known: str, new: str, table: Table, shifts: Shifts) -> list[str]:
    """What all collections together gave for one pair."""
    clean = next(iter(table.makings))
    parts = [masked(Piece(known, SCALE, clean, c), Piece(new, SCALE, clean, c), shifts) for c in table.collections]

    def risk(way: str) -> str:
        return f"{np.mean([part[way]['risk'] for part in parts]):.3f}"

    def warned(way: str) -> str:
        return f"{sum(bool(part[way]['warnings']) for part in parts)} of {len(parts)}"

    def statuses(way: str) -> Counter[str]:
        return sum((Counter(part[way]["statuses"]) for part in parts), Counter())

    said = statuses("batch")
    return [
        *(known, new, risk("batch"), warned("batch")),
        *(str(said[status]) for status in STATUSES),
        *(risk("outsiders"), warned("outsiders"), warned("one by one")),
        str(statuses("one by one")["outside-calibration"]),
    ]


def main() -> int:
    """Mask every such pair."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, required=True, help=OUT)
    options = parser.parse_args()
    table = Table.read(options.table)
    shifts, known = Shifts(table, options.out), figures.every_table()["trust-table/shift, networks"]["rows"]
    columns = figures.heading(COLUMNS.split(", "))
    rows = [figures.printed(row_of(*pair, table, shifts)) for pair in unnoticed(known)]
    if options.save:
        figures.save("trust-table", "masked", {"columns": columns, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
