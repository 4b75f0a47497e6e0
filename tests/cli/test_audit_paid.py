"""`audit --paid` and `compare --paid`: a random part is bought, free pictures answer all, and nothing is paid twice."""

import json

import numpy as np
import pytest
from PIL import Image
from support.restoring_vendor import RESTORING
from support.synthetic import reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study.audit.measure import Measure
from blackbox_conformal.testing.fault_server import FaultServer

PAID, GIVEN = 10, 24


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A run folder calibrated on 16 photographs, 24 unseen ones, and the server that is paid."""
    folder = tmp_path_factory.mktemp("paid")
    write_photographs(folder / "known", range(16))
    write_photographs(folder / "unseen", range(16, 16 + GIVEN))
    with FaultServer() as server:
        vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "-p", "scale=4"]
        known = [str(folder / "known"), *vendor, "--score", "texture", "--metric", "rgb-linf", "--yes", "-q"]
        assert run(["calibrate", *known, "--run", str(folder / "run")]) == 0
        yield folder, server


def audit(scene, *more):
    folder, server = scene
    calibration = str(folder / "run" / "calibration.json")
    given = [
        "--calibration",
        calibration,
        "--adapter",
        RESTORING,
        "-p",
        f"url={server.url}",
        "--run",
        str(folder / "run"),
        "--yes",
    ]
    return run(["audit", str(folder / "unseen"), *given, *more])


def test_it_pays_for_the_random_part_alone_and_a_repeated_command_for_nothing(scene, capsys, monkeypatch):
    folder, server = scene
    before, part = server.account.paid, ["--paid", str(PAID), "--alpha", "0.5", "--json"]
    assert audit(scene, *part, "--max-calls", str(PAID - 1)) != 0, "a limit below the part is refused"
    assert server.account.paid == before
    with monkeypatch.context() as patch:
        patch.setattr(Measure, "losses_of", lambda *_: 1 / 0)
        assert audit(scene, *part, "--max-calls", str(PAID)) != 0
    assert server.account.paid - before == PAID
    capsys.readouterr()
    assert audit(scene, *part) == 0
    assert server.account.paid - before == PAID, "what an interrupted audit bought is not bought again"
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert (found["n"], found["stop"]) == (PAID, None)
    assert [found["part"][name] for name in ("paid", "given", "seed", "beside")] == [PAID, GIVEN, 0, True]
    assert "10 of 24 photographs, drawn at random (seed 0), were bought" in out.err
    assert "The 90 % interval uses both" in out.err
    estimate = found["estimates"][0]
    assert estimate["alone"] == found["levels"][0]["risk"]
    assert estimate["interval"][0] < estimate["risk"] < estimate["interval"][1]
    (kept,) = (folder / "run" / "report").glob("*/audit.json")
    audited = AUDITS.read(kept)
    assert [one.name for one in audited.part.pictures[:PAID]] == [one.name for one in audited.pictures]
    assert audited.levels[0].estimate.risk == estimate["risk"]
    # Another number is another look: it buys the rest alone, and takes the interval that holds at every look.
    assert audit(scene, "--paid", str(PAID + 2), *part[2:]) == 0
    assert server.account.paid - before == PAID + 2
    out = capsys.readouterr()
    more = json.loads(out.out)
    assert (more["n"], more["part"]["beside"]) == (PAID + 2, False)
    assert [one["name"] for one in more["part"]["pictures"]] == [one["name"] for one in found["part"]["pictures"]]
    assert "interval above is of the bought ones alone" in out.err
    # What the audit recorded tells a plan how many calls another audit takes.
    vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "-p", "scale=4", "--score", "texture"]
    planning = ["plan", str(folder / "unseen"), *vendor, "--metric", "rgb-linf", "--run", str(folder / "run"), "--json"]
    assert run(planning) == 0
    out = capsys.readouterr()
    told = json.loads(out.out)["paid"]
    assert 8 <= told["paid"] <= told["alone"]
    assert server.account.paid - before == PAID + 2, "a plan buys nothing"
    assert "By the losses of the last audit with --paid in this run folder " in out.err


def test_a_comparison_buys_the_calibration_and_the_same_random_part_for_all(scene, tmp_path, capsys):
    folder, server = scene
    vendor = f"{RESTORING}:url={server.url},scale=4"
    given = ["--metric", "rgb-linf", "--alpha", "0.5", "--run", str(tmp_path / "run"), "--yes", "--json"]
    given += ["--vendor", f"{vendor},score=texture,label=one", "--vendor", f"{vendor},score=bicubic-gap,label=other"]
    command, before = ["compare", str(folder / "unseen"), *given], server.account.paid
    for paid, said in (("12", "from 8 to 11, fewer than the 12 photographs"), ("7", "8")):
        assert run([*command, "--paid", paid]) == 2
        assert said in capsys.readouterr().err
    assert server.account.paid == before
    assert run([*command, "--paid", "8"]) == 0
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert server.account.paid - before == 12 + 8, "two scores share the vendor's answers"
    assert [one["wanted"] for one in found["vendors"]] == [20, 20]
    assert (found["n_calibration"], found["n_evaluation"]) == (12, 8)
    assert [found["part"][name] for name in ("paid", "given", "seed")] == [8, 12, 0]
    bought = (
        "8 of 12 photographs, drawn at random (seed 0), were bought from each vendor, besides the 12 that calibrate"
    )
    assert bought in out.err
    rows = {(row["contestant"], row["figure"] == "trusted share"): row for row in found["estimates"]}
    ours = {row["contestant"]: row for row in found["rows"] if row["method"] == "trust mask"}
    for name, row in ours.items():
        estimate = rows[name, True]
        assert estimate["estimate"]["alone"] == pytest.approx(row["trusted_share"])
        assert rows[name, False]["estimate"]["alone"] == pytest.approx(row["risk"])
    difference = rows["other", True]["difference"]
    assert rows["one", True]["difference"] is None
    assert difference["alone"] == pytest.approx(ours["other"]["share_gain"][0])
    assert difference["interval"][0] <= difference["risk"] <= difference["interval"][1]
    assert run(command) == 0
    assert server.account.paid - before == 24, "the whole comparison buys the rest alone"
    whole = {row["contestant"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert difference["interval"][0] <= whole["other"]["share_gain"][0] <= difference["interval"][1]


def test_free_pictures_are_masked_and_measured_as_answers_are(scene, tmp_path):
    """A vendor whose answers are plain enlargements has the losses of that free picture, and so a certain estimate."""
    folder = scene[0]
    for path in [*(folder / "unseen").iterdir(), *(folder / "known").iterdir()]:
        answer = bicubic_up(reduced(np.asarray(Image.open(path)), 4), 4)
        (tmp_path / "outputs" / path.stem).mkdir(parents=True)
        Image.fromarray(answer).save(tmp_path / "outputs" / path.stem / "0.png")
    vendor = bc.load_adapter("folder", path=str(tmp_path / "outputs"), label="plain")
    choices = {"score": "texture", "metric": "rgb-linf"}
    calibration = bc.calibrate(vendor, folder / "known", run=tmp_path / "run", **choices)
    found = bc.audit(vendor, folder / "unseen", calibration, [0.5, 0.6], run=tmp_path / "run", paid=12)
    assert found.n == 12
    free = {one.name: one.losses[found.part.names.index("plain enlargement")] for one in found.part.pictures}
    assert [one.losses for one in found.pictures] == [free[one.name] for one in found.pictures]
    estimate, mean = found.levels[0].estimate, np.mean([losses[0] for losses in free.values()])
    assert abs(estimate.risk - mean) < abs(estimate.alone - mean)
    assert estimate.worth > 14


def test_what_free_pictures_cannot_stand_beside_is_refused_before_a_call(scene, capsys):
    server = scene[1]
    before = server.account.paid
    for more, said in (
        (["--paid", "24"], "from 8 to 23, fewer than the 24 photographs that are measured; got 24"),
        (["--paid", "7"], "8"),
    ):
        assert audit(scene, *more) == 2
        assert said in capsys.readouterr().err
    assert server.account.paid == before


def test_several_draws_and_tiles_are_refused_with_what_to_do(scene, tmp_path):
    folder = scene[0]
    outputs = write_draws(tmp_path / "outputs", range(GIVEN + 16), 2)
    vendor = bc.load_adapter("folder", path=str(outputs), label="two draws")
    unseen, terms = folder / "unseen", {"run": tmp_path / "run", "paid": 12}
    two = bc.calibrate(vendor, folder / "known", run=tmp_path / "run", draws=2, metric="rgb-linf")
    with pytest.raises(UsageError, match=r"one draw, .* got 2 draws. Leave --paid out"):
        bc.audit(vendor, unseen, two, [0.5], **terms)
    one = bc.calibrate(vendor, folder / "known", run=tmp_path / "run", score="texture", metric="rgb-linf")
    tiles = {path.stem: path.stem for path in unseen.iterdir()}
    with pytest.raises(UsageError, match="got tiles"):
        bc.audit(vendor, unseen, one, [0.5], tiles=tiles, **terms)
