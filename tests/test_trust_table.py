"""The trust table: a tiny one is drawn, measured and found again, and its page says what its figures say."""

import json
from collections import Counter
from pathlib import Path

import figures
import measure_trust_masks
import measure_trust_shift
import measure_trust_table
import numpy as np
import pytest
import trust_table_pieces
from draw_trust_table import draw
from measure_trust_masks import masked, unnoticed
from measure_trust_shift import ALPHA, Shifts, summary
from support.documentation import DOCS, text_of
from support.mutations import redigested
from trust_table_picture import picture
from trust_table_pieces import HERE, Piece, Table, digest_of, make_inputs, note_digest

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.files import write_new

TABLES = {
    name.removeprefix("trust-table/"): table
    for name, table in figures.every_table(DOCS / "figures").items()
    if name.startswith("trust-table/")
}
ROWS = TABLES.get("rows", {"rows": []})["rows"]
PLAIN, VENDOR = "plain enlargement", "embedded"
FEW_SPLITS = 4
LOOSE = "marked:largest_error=0.9"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Two collections of the demonstration's photographs, and two networks that need no package."""
    photographs = [one.path for one in demo_photographs()]
    for folder in ("one", "other"):
        (tmp_path / "sources" / "photographs" / folder).mkdir(parents=True)
    for index, path in enumerate(photographs[:20]):
        (tmp_path / "sources" / "photographs" / ("one", "other")[index % 2] / path.name).write_bytes(path.read_bytes())
    collections = {
        folder: {
            "source": "somebody/photographs",
            "folder": folder,
            "file": "{}.jpg",
            "names": " ".join(path.stem for path in photographs[index:20:2]),
        }
        for index, folder in enumerate(("one", "other"))
    }
    return Table(64, {"bicubic": "bicubic"}, collections, {PLAIN: {}, VENDOR: {}})


def test_a_tiny_table_is_drawn_measured_and_found_again(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_trust_table, "SPLITS", FEW_SPLITS)
    monkeypatch.setattr(measure_trust_shift, "SPLITS", FEW_SPLITS)
    # So few photographs keep no small largest error.
    for program in (measure_trust_table, measure_trust_shift, measure_trust_masks):
        monkeypatch.setattr(program, "GUARANTEE", LOOSE)
    monkeypatch.setattr(measure_trust_table, "RESAMPLES", 20)
    monkeypatch.setattr(trust_table_pieces, "DIGESTS", tmp_path / "digests.json")
    out, sources = tmp_path / "out", tmp_path / "sources"
    pieces = list(table.pieces(["embedded/*", f"{PLAIN}/*"]))
    for piece in pieces:
        draw(piece, table, sources, out, None)
        assert note_digest(piece.name, digest_of(piece.outputs(out)), save=True) == "as in the table"
    drawn = {piece: [file.stat().st_mtime_ns for file in sorted(piece.outputs(out).iterdir())] for piece in pieces}
    plain, embedded = (
        {
            row[3]: row
            for row in measure_trust_table.rows_of([piece for piece in pieces if piece.network == name], table, out)
        }
        for name in (PLAIN, VENDOR)
    )
    assert list(embedded) == ["one", "other", "all five"]
    assert all(row[5].startswith("0.000") and row[9] == "-" for row in plain.values()), "blur invents nothing"
    assert float(embedded["all five"][7].split("±")[0]) <= 0.2 + 0.1

    # What is there is neither drawn nor measured again, and gives the same row; other answers have another digest.
    for piece in pieces:
        draw(piece, table, sources, out, None)
        assert [file.stat().st_mtime_ns for file in sorted(piece.outputs(out).iterdir())] == drawn[piece]
    monkeypatch.setattr(measure_trust_table, "measured", None)
    again = {row[3]: row for row in measure_trust_table.rows_of(pieces_of(pieces, VENDOR), table, out)}
    assert again == embedded
    changed = sorted(pieces[-1].outputs(out).iterdir())[0]
    changed.write_bytes(image_png(255 - read_image(changed).pixels))
    assert note_digest(pieces[-1].name, digest_of(pieces[-1].outputs(out)), save=False).startswith("OTHER")

    # A vendor that only enlarged when it was calibrated, and invents since: what was promised is broken.
    shifts, one = Shifts(table, out), pieces_of(pieces, VENDOR)[0]
    assert shifts.of(pieces_of(pieces, PLAIN)[0], one).risk.mean() > ALPHA
    assert shifts.of(one, one).risk.mean() <= ALPHA + 0.1
    # As are the masks of the package itself, which are not made twice.
    for name, value in (("SPLIT", 0.6), ("WITH", f"{LOOSE},outsiders=0.01")):
        monkeypatch.setattr(measure_trust_masks, name, value)
    told = masked(pieces_of(pieces, PLAIN)[0], one, shifts)
    assert all(sum(way["statuses"].values()) == len(way["risk"]) == 4 for way in told.values())
    assert sum(told["batch"]["risk"]) > 4 * ALPHA
    monkeypatch.setattr(measure_trust_masks, "_masked", None)
    assert masked(pieces_of(pieces, PLAIN)[0], one, shifts) == told


def test_verify_finds_an_edited_contribution_and_not_one_of_made_up_pictures(table: Table, tmp_path: Path) -> None:
    out, (piece,) = tmp_path / "out", table.pieces([f"{VENDOR}/x4/bicubic/one"])
    for photograph in make_inputs(table, piece, tmp_path / "sources", out):
        # Made of the truth, and no vendor's.
        truth = read_image(piece.photographs(out) / photograph.name).pixels
        write_new(piece.outputs(out) / photograph.name, image_png(truth ^ 1))
    file = tmp_path / "calibration.json"
    measure_trust_table.calibrated(piece, table, out).save(file)
    key = SigningKey.new("Laboratory X")
    key.save(tmp_path / "mine.pem")
    verify = ["verify", str(file), "--trust", key.key]
    assert run(["sign", str(file), "--sign-with", str(tmp_path / "mine.pem")]) == 0
    assert run(verify) == 0

    text = file.read_text(encoding="utf-8")
    figure = json.loads(text)
    signature = figure.pop("signature")
    figure["guarantee"]["largest_error"] = 0.4
    for edited in (
        text.replace("embedded", "embeddeD", 1),
        redigested(figure),
        json.dumps(json.loads(redigested(figure)) | {"signature": signature}),
    ):
        assert edited != text
        file.write_text(edited, encoding="utf-8")
        assert run(verify) == 3


def test_the_recipe_for_a_paid_vendor_takes_five_photographs_of_each_kind_twice() -> None:
    files = sorted(
        f"{kind}/{name.replace('/', '-')}"
        for kind, about in Table.read(HERE / "pieces.toml").collections.items()
        for name in about["names"].split()
    )
    for first in (1, 5):
        assert f"NR % 8 == {first}'" in text_of(DOCS / "trust-table.md")
        assert set(Counter(file.split("/")[0] for file in files[first - 1 :: 8]).values()) == {5}


def pieces_of(pieces: list[Piece], network: str) -> list[Piece]:
    return [piece for piece in pieces if piece.network == network]


def number(cell: str) -> float:
    return float(cell.split("±")[0])


def half(cell: str) -> float:
    return float(cell.split("±")[1])


def test_new_photographs_of_a_collection_keep_the_level_and_the_page_counts_those_that_do_not() -> None:
    page, rows = text_of(DOCS / "trust-table.md"), TABLES["new"]["rows"]
    pooled = [number(row[10]) for row in ROWS if row[3] == "all five" and row[10] != "-"]
    over = sum(share > 20 for share in pooled)
    assert f"above 20 % in {over} of {len(pooled)} rows of all five kinds, up to {max(pooled):.0f} %" in page
    # Each cell is one calibration: their mean is what is promised, and single ones may lie above.
    mean, error = np.mean([(number(row[2]), half(row[2])) for row in rows], axis=0)
    assert mean <= ALPHA + 2 * error / len(rows) ** 0.5
    assert f"Their mean is {mean:.3f}" in page
    for column, whose in ((2, "of the same collection"), (4, "of the other collections")):
        above = [row for row in rows if number(row[column]) > ALPHA]
        clear = sum(number(row[column]) - half(row[column]) > ALPHA for row in rows)
        worst = max(rows, key=lambda row: number(row[column]))
        said = f"{len(above)} of {len(rows)} risks {whose} are above 0.2, {clear} by more than their interval; "
        assert said + f"the largest is {number(worst[column]):.3f} ({worst[0]}, {worst[1]})" in page
    same = [number(row[3]) for row in rows]
    assert f"pooled, {sum(share > 20 for share in same)} of them are above 20 %, up to {max(same):.0f}" in page


def test_the_page_says_what_its_figures_say() -> None:
    page = text_of(DOCS / "trust-table.md")
    networks = {row[0] for row in ROWS} - {PLAIN}
    assert f"{len(networks)} networks" in page
    assert f"{2 * len(ROWS)} risks" in page
    above, missed = (sum(int(row[place]) for row in TABLES["shift"]["rows"]) for place in (2, 3))
    assert f"{above} of" in page
    assert f"{missed} of these" in page
    rows = TABLES["masked"]["rows"]
    assert [tuple(row[:2]) for row in rows] == list(unnoticed(TABLES["shift, networks"]["rows"]))
    warned, batches = (sum(int(row[3].split(" of ")[place]) for row in rows) for place in (0, 1))
    statuses = [sum(int(row[place]) for row in rows) for place in range(4, 8)]
    assert f"Of {batches} such batches that were then masked, `mask` warned of {warned}" in page
    assert f"{statuses[0]} of their {sum(statuses)} certificates read `guaranteed`" in page
    drawn = (DOCS / "pictures" / "trust-shift.svg").read_text(encoding="utf-8")
    assert drawn == picture(TABLES), "python examples/measure_trust_shift.py --save draws it"
    assert summary({name: one["rows"] for name, one in TABLES.items() if ", " in name}) == TABLES["shift"]["rows"]


def test_every_row_has_a_digest_of_what_was_drawn() -> None:
    digests = json.loads(trust_table_pieces.DIGESTS.read_text(encoding="utf-8"))
    named = {f"{row[0]}/{row[1].replace('×', 'x')}/{row[2]}/{row[3]}" for row in ROWS if row[3] != "all five"}
    assert digests.keys() == named
    assert named <= {piece.name for piece in Table.read(HERE / "pieces.toml").pieces(["*"])}
