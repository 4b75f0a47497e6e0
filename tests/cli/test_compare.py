"""`compare` on the command line: vendors as typed, two of one adapter stay two, refusals in one line."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from support.command_line import ended

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer


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
    arguments = ["compare", str(photographs), "--draws", "2"]
    arguments += ["--alpha", "0.7", "--run", str(tmp_path), "--no-baselines"]
    score = "weighted:weight=0.25,sigma=2"
    arguments += ["--vendor", f"embedded:score=[{score}],draws=3,label=bracketed", "--vendor", "embedded"]
    bracketed, plain = json.loads(ended(capsys, [*arguments, "--json"]).out)["vendors"]
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


CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf", "-p", "price-usd=0.01"]
COMPARED = [*CHOICES, "--alpha", "0.9", "--no-baselines", "--yes", "--json"]

RECIPE = """
name = "NAME"
title = "Workshop"
about = "A server of one's own."
documentation = "https://workshop.example/docs"
url = "URL"

[scale]
factors = [4]
default = 4

[submit]
path = "/v1/jobs"
file = "image"
form = { scale = "{scale}" }
keep = { job = "id" }

[poll]
path = "/v1/jobs/{job}"
seconds = 0.1
status = "status"
done = ["succeeded"]
failed = ["failed"]

[picture]
link = "output"

[errors]
message = ["error.message"]

[example]
polls = 1
[[example.answers]]
json = '{"id": "1"}'
[[example.answers]]
json = '{"status": "succeeded", "output": "{address}/1"}'
[[example.answers]]
picture = true
"""


@pytest.fixture
def servers() -> Iterator[tuple[FaultServer, FaultServer]]:
    with FaultServer() as first, FaultServer() as second:
        yield first, second


def paid(servers: tuple[FaultServer, FaultServer]) -> list[int]:
    return [server.account.paid for server in servers]


@pytest.mark.parametrize("labels", [("", ""), (",label=server-one", ",label=server-two")])
def test_two_addresses_are_two_vendors_in_a_comparison(photographs, tmp_path, capsys, servers, labels):
    arguments = ["compare", str(photographs), *COMPARED, "--run", str(tmp_path / "runs")]
    for server, label in zip(servers, labels, strict=True):
        arguments += ["--vendor", f"http:url={server.url}/v1/upscale{label}"]
    vendors = json.loads(ended(capsys, arguments).out)["vendors"]
    assert [(one["wanted"], one["calls"], one["cached"]) for one in vendors] == [(12, 12, 0), (12, 12, 0)]
    assert paid(servers) == [12, 12]


def test_two_recipes_that_differ_in_name_or_address_are_two_vendors(photographs, tmp_path, capsys, servers):
    arguments = ["compare", str(photographs), *COMPARED, "--run", str(tmp_path / "runs")]
    for index, server in enumerate(servers):
        file = tmp_path / f"recipe-{index}.toml"
        file.write_text(RECIPE.replace("NAME", "workshop").replace("URL", server.url))
        arguments += ["--vendor", f"recipe:recipe={file}"]
    assert run(arguments) == 0
    assert [one["calls"] for one in json.loads(capsys.readouterr().out)["vendors"]] == [12, 12]
    assert paid(servers) == [12, 12]


def test_the_second_address_in_one_run_folder_is_drawn_from_and_a_labelled_server_may_move(
    photographs, tmp_path, servers
):
    def calibrate(server: FaultServer, name: str, label: str = "") -> int:
        vendor = ["--adapter", "http", "-p", f"url={server.url}/v1/upscale"]
        vendor += ["-p", f"label={label}"] if label else []
        given = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / name), "--max-calls", "100", "--yes"]
        return run(["calibrate", str(photographs), *vendor, *CHOICES, *given])

    assert calibrate(servers[0], "first.json") == 0
    assert calibrate(servers[1], "second.json") == 0
    assert paid(servers) == [12, 12]
    assert calibrate(servers[0], "third.json", "workshop-2") == 0
    assert calibrate(servers[1], "fourth.json", "workshop-2") == 0
    assert paid(servers) == [24, 12]


def test_a_calibration_of_one_address_is_refused_at_another(photographs, tmp_path, capsys, servers):
    vendor = ["--adapter", "http", "-p", f"url={servers[0].url}/v1/upscale"]
    given = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "first.json"), "--max-calls", "100", "--yes"]
    assert run(["calibrate", str(photographs), *vendor, *CHOICES, *given]) == 0
    low = tmp_path / "low.png"
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(low)
    capsys.readouterr()
    again = ["--calibration", str(tmp_path / "first.json"), "--alpha", "0.9", "--max-calls", "9", "--yes"]
    said = ended(capsys, ["mask", str(low), *again, "-p", f"url={servers[1].url}/v1/upscale"], 2).err
    assert "vendor.address" in said
    assert "another address is another vendor" in said
    assert paid(servers) == [12, 0]


@pytest.mark.parametrize(
    ("vendors", "said"),
    [
        (["http:url={0}/a,label=a", "http:url={0}/a,label=b", "label=one"], "same settings"),
        (["http:url={0}/a,label=a,draws=2", "http:url={1}/a,label=b,draws=3", "label=one"], "two addresses"),
        (["replicate:model=a/b,url={0},label=x", "replicate:model=a/b,url={1},label=y"], "two addresses"),
        (["embedded:label=one", "embedded:label=two"], "same settings"),
    ],
)
def test_contestants_that_nothing_tells_apart_are_refused_before_anything_is_paid(
    photographs, tmp_path, capsys, servers, vendors, said
):
    arguments = ["compare", str(photographs), "--run", str(tmp_path / "runs"), "--yes", "--alpha", "0.9"]
    for vendor in vendors:
        given = vendor.format(*(server.url for server in servers))
        arguments += ["-p" if vendor.startswith("label") else "--vendor", given]
    assert said in ended(capsys, arguments, 2).err
    assert paid(servers) == [0, 0]
    assert not (tmp_path / "runs").exists()
