"""Two vendors of one adapter stay two: in `compare`, in `calibrate`, and wherever stored draws are found again."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from support.command_line import ended

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

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
        vendor = [
            "--adapter",
            "http",
            "-p",
            f"url={server.url}/v1/upscale",
            *(["-p", f"label={label}"] if label else []),
        ]
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
