"""`compare` on the command line: vendors as typed, one JSON document, refusals in one line."""

import json

import numpy as np
import pytest
from PIL import Image
from support.command_line import ended

from blackbox_conformal.cli.main import run


def test_settings_of_one_vendor_in_one_table(photographs, tmp_path, capsys):
    arguments = ["compare", str(photographs), "--vendor", "embedded:draws=3,label=three", "--vendor", "embedded"]
    arguments += ["--draws", "2", "--alpha", "0.7", "--held-out", "0.4", "--run", str(tmp_path), "--json"]
    out = ended(capsys, arguments)
    document = json.loads(out.out)
    assert (document["n_calibration"], document["n_evaluation"]) == (4, 2)
    assert [(one["vendor"], one["draws"]) for one in document["vendors"]] == [("three", 3), ("embedded", 2)]
    three, two = document["vendors"]
    assert [three[key] for key in ("wanted", "calls", "cached", "failed")] == [18, 18, 0, 0]
    assert [two[key] for key in ("wanted", "calls", "cached", "failed")] == [12, 0, 12, 0]
    assert two["usd_per_photograph"] == 0
    assert three["latency_s"]["median"] > 0
    assert {row["method"] for row in document["rows"]} == {"trust mask", "interval image", "soft mask"}
    assert "three" in out.err
    standings = [line.split() for line in out.err.split("Vendors\n")[1].splitlines()[2:4]]
    assert [one[:7] for one in standings] == [
        ["three", "3", "18", "0", "0", "0", "$0.00"],
        ["embedded", "2", "0", "12", "0", "0", "$0.00"],
    ]
    assert standings[0][7] == f"{three['latency_s']['median']:.2f},"
    assert "no guarantee" in out.err
    assert document["page"] is None


def test_the_page_is_written_once_and_another_file_is_kept(photographs, tmp_path, capsys):
    page = tmp_path / "page.html"
    arguments = ["compare", str(photographs), "--vendor", "embedded:draws=3,label=three", "--vendor", "embedded"]
    arguments += ["--draws", "2", "--alpha", "0.7", "--held-out", "0.4", "--run", str(tmp_path / "runs"), "--json"]
    page.write_text("mine")
    assert "is not a comparison" in ended(capsys, [*arguments, "--out", str(page)], 2).err
    assert not (tmp_path / "runs").exists()
    assert json.loads(ended(capsys, [*arguments, "--out", str(page), "--force"]).out)["page"] == str(page)
    written = page.read_bytes()
    assert b"three: trust mask" in written
    assert run([*arguments, "--out", str(page)]) == 0
    assert page.read_bytes() == written


def test_draws_of_another_run_folder_are_told_and_used_when_it_is_named(photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["calibrate", str(photographs), "--adapter", "embedded", "--draws", "2"]
    assert run(arguments) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    arguments = ["compare", str(photographs), "--vendor", "embedded:draws=3,label=three", "--vendor", "embedded"]
    arguments += ["--draws", "2", "--alpha", "0.7", "--held-out", "0.4", "--no-baselines"]
    out = ended(capsys, [*arguments, "--run", f"runs/{folder.name}", "--json"])
    assert [one["calls"] for one in json.loads(out.out)["vendors"]] == [6, 0]
    assert "add --run" not in out.err
    out = ended(capsys, arguments)
    assert f"18 of these 18 draws are stored in runs/{folder.name}" in out.err
    assert f"--run runs/{folder.name} (to draw all" in out.err
    assert "three" in out.out


def test_a_score_with_several_parameters_stands_in_brackets(photographs, tmp_path, capsys):
    arguments = [
        "compare",
        str(photographs),
        "--draws",
        "2",
        "--alpha",
        "0.7",
        "--run",
        str(tmp_path),
        "--no-baselines",
    ]
    score = "weighted:weight=0.25,sigma=2"
    arguments += ["--vendor", f"embedded:score=[{score}],draws=3,label=bracketed", "--vendor", "embedded"]
    assert run([*arguments, "--json"]) == 0
    bracketed, plain = json.loads(capsys.readouterr().out)["vendors"]
    assert (bracketed["vendor"], bracketed["draws"], plain["draws"]) == ("bracketed", 3, 2)
    assert run([*arguments[:-4], "--vendor", f"embedded:score={score}", "--vendor", "embedded:draws=3"]) == 2
    assert "[weighted:weight=…,sigma=…]" in capsys.readouterr().err


def test_stored_draws_take_their_label_from_the_table(photographs, tmp_path, capsys):
    rows = np.random.default_rng(0)
    for path in photographs.iterdir():
        folder = tmp_path / "outputs" / path.stem
        folder.mkdir(parents=True)
        for index in range(3):
            noise = rows.integers(-9, 10, (64, 64, 3))
            Image.fromarray((np.asarray(Image.open(path).convert("RGB")) + noise).clip(0, 255).astype(np.uint8)).save(
                folder / f"{index}.png"
            )
    stored = f"folder:path={tmp_path / 'outputs'}"
    arguments = ["compare", str(photographs), "--vendor", f"{stored},label=three", "--vendor", f"{stored},draws=2"]
    arguments += ["--draws", "3", "--alpha", "0.7", "--run", str(tmp_path / "runs"), "--no-baselines"]
    vendors = json.loads(ended(capsys, [*arguments, "--json"]).out)["vendors"]
    assert [one["vendor"] for one in vendors] == ["three", f"{stored},draws=2"]
    assert [one["wanted"] for one in vendors] == [18, 12]
    assert run([*arguments, "-p", "label=both", "-q"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "at least two"),
        (["--vendor", "embedded"], "at least two"),
        (["--vendor", "embedded", "--vendor", "embedded"], "different labels"),
        (["--vendor", "embedded", "--adapter", "embedded"], "--vendor"),
        (["--vendor", "embedded:draws=many", "--vendor", "embedded"], "whole number"),
        (["--vendor", "embedded:colour=red", "--vendor", "embedded"], "colour"),
        (["--vendor", "nobody", "--vendor", "embedded"], "nobody"),
        (["--vendor", "embedded", "--vendor", "embedded:draws=2", "--held-out", "1"], "held-out"),
    ],
)
def test_what_cannot_be_compared_is_one_line(photographs, tmp_path, capsys, arguments, said):
    text = ended(capsys, ["compare", str(photographs), "--run", str(tmp_path), *arguments], 2).err
    assert said in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_of_one_vendor_alone_is_refused_with_the_line_to_type(photographs, capsys):
    given = ["-p", "recipe=own.toml", "-p", "url=http://127.0.0.1:9"]
    vendors = ["--vendor", "embedded:draws=2", "--vendor", "recipe"]
    said = ended(capsys, ["compare", str(photographs), *vendors, *given], 2).err
    assert "embedded takes no recipe. Instead of -p give each vendor its own: " in said
    assert "--vendor embedded:draws=2 --vendor recipe:recipe=own.toml,url=http://127.0.0.1:9\n" in said
