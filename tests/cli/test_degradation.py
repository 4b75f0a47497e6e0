"""How inputs are made, from the first command to the last: declared, named, and refused before anything is paid."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL import Image as PillowImage
from support.command_line import VENDOR, ended
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import BlackboxConformalError, ProcedureMismatchError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.stages.certify import format_reason
from blackbox_conformal.testing.fault_server import FaultServer

SMOOTH = "rgb-l1:kernel=gaussian,sigma=4,order=difference-of-blurs"
SETTINGS = ["--draws", "2", "--score", "pixel-variance", "--metric", SMOOTH, "--yes"]
ALL = {"draws": 2, "score": "pixel-variance", "metric": SMOOTH}
FROM_INPUT = "expected:bound_from=input"
MIXED = "50% bicubic | 50% area"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, unseen ones, inputs, and calibrations for inputs by area and for a mixture."""
    folder = tmp_path_factory.mktemp("degradation")
    write_photographs(folder / "photographs", range(8))
    write_photographs(folder / "unseen", range(8, 12))
    low = Mixture.of_text("area:4").apply(photograph(20), 4)
    PillowImage.fromarray(low).save(folder / "small.png")
    with FaultServer() as server:
        for name, degradation in (("area", "area"), ("mixed", MIXED)):
            command = ["calibrate", str(folder / "photographs"), *of(server), "--degradation", degradation, *SETTINGS]
            assert run([*command, "--run", str(folder / name), "-q"]) == 0
    return folder


def of(server: FaultServer) -> list[str]:
    return ["--adapter", VENDOR, "-p", f"url={server.url}"]


def calibrated(scene: Path, server: FaultServer, name: str, run_folder: Path) -> list[str]:
    calibration = str(scene / name / "calibration.json")
    return ["--calibration", calibration, *of(server), "--run", str(run_folder), "--yes"]


def test_the_bound_of_an_input_by_area_is_certified_and_audited(scene, server, tmp_path, capsys):
    given = calibrated(scene, server, "area", tmp_path / "run")
    more = ["--guarantee", FROM_INPUT, "--degradation", "area:4"]
    mask = ["mask", str(scene / "small.png"), "--alpha", "0.9", "--out", str(tmp_path / "out"), "--json"]
    (entry,) = json.loads(ended(capsys, [*mask, *given, *more]).out)["pictures"]
    certificate = json.loads(Path(entry["certificate"]).read_text())
    assert "provided the input was made from it by area:4, in 8 bits" in certificate["input_bound"]
    assert "Inputs are made like those of the calibration: area:4." in certificate["assumptions"]
    assert run(["verify", entry["certificate"], "--calibration", str(scene / "area" / "calibration.json")]) == 0
    assert run(["audit", str(scene / "unseen"), *given, *more, "--alpha", "0.9", "-q"]) in (0, 3)


def test_an_input_that_came_as_a_jpeg_file_is_named_where_calibration_made_none(scene, server, tmp_path, capsys):
    PillowImage.open(scene / "small.png").save(tmp_path / "small.jpg", quality=70)
    PillowImage.open(scene / "small.png").save(tmp_path / "whole.png")
    pictures = [str(tmp_path / name) for name in ("small.jpg", "whole.png")]
    compressed = tmp_path / "compressed"
    told = [["--degradation", "60% area+jpeg:70 | 40% area"], []]
    for run_folder, degradation in zip((compressed, tmp_path / "plain"), told, strict=True):
        given = ["calibrate", str(scene / "photographs"), *of(server), *degradation, *SETTINGS, "-q"]
        assert run([*given, "--run", str(run_folder)]) == 0
    said = {}
    for folder in (compressed, tmp_path / "plain"):
        out = ["--alpha", "0.9", "--out", str(tmp_path / f"out-{folder.name}"), "--json"]
        code = run(["mask", *pictures, *calibrated(tmp_path, server, folder.name, folder), *out])
        assert code == (0 if folder == compressed else 3)
        for entry in json.loads(capsys.readouterr().out)["pictures"]:
            said[folder.name, Path(entry["input"]).suffix] = entry["reason"], entry["certificate"]
    naming = "made without JPEG (bicubic:4)"
    assert {key: naming in reason for key, (reason, _) in said.items()} == {
        ("compressed", ".jpg"): False,
        ("compressed", ".png"): False,
        ("plain", ".jpg"): True,
        ("plain", ".png"): False,
    }
    assert naming in " ".join(ended(capsys, ["verify", said["plain", ".jpg"][1]]).out.split())


def test_every_lossy_file_is_named_as_a_jpeg_file_is_and_a_whole_one_is_not(scene, server, tmp_path, capsys):
    small, folder = PillowImage.open(scene / "small.png"), tmp_path / "in"
    folder.mkdir()
    small.save(folder / "small.webp", quality=80)
    small.save(folder / "whole.webp", lossless=True)
    small.save(folder / "other.avif", quality=80)
    said = {}
    for name, degradation in (("plain", []), ("compressed", ["--degradation", "area:4+jpeg:60-95"])):
        given = ["calibrate", str(scene / "photographs"), *of(server), *degradation, *SETTINGS, "-q"]
        assert run([*given, "--run", str(tmp_path / name)]) == 0
        out = ["--alpha", "0.9", "--out", str(tmp_path / f"out-{name}"), "--json"]
        run(["mask", str(folder), *calibrated(tmp_path, server, name, tmp_path / name), *out])
        for entry in json.loads(capsys.readouterr().out)["pictures"]:
            named = "file, and those of the calibration were made" in str(entry["reason"])
            said[name, Path(entry["input"]).name] = named
            calibration = str(tmp_path / name / "calibration.json")
            assert run(["verify", entry["certificate"], "--calibration", calibration]) == 0
            capsys.readouterr()
    assert said == {
        ("plain", "small.webp"): True,
        ("plain", "whole.webp"): False,
        ("plain", "other.avif"): True,
        ("compressed", "small.webp"): False,
        ("compressed", "whole.webp"): False,
        ("compressed", "other.avif"): False,
    }
    procedure = bc.Calibration.load(tmp_path / "plain" / "calibration.json").procedure
    assert format_reason(procedure, "WEBP") is None, "as in certificates from before lossy files were told apart"
    proposed = "a lossy HEIF file, and .* Calibrate with --degradation bicubic:4\\+jpeg:60-95$"
    assert re.search(proposed, format_reason(procedure, "lossy HEIF") or "")


def test_photographs_from_lossy_files_say_before_anything_is_paid_what_follows_for_inputs(
    scene, server, tmp_path, capsys
):
    folder = tmp_path / "photographs"
    write_photographs(folder, range(4))
    paid = server.account.paid
    given = [str(folder), *of(server), *SETTINGS, "--run", str(tmp_path / "run")]
    assert "lossy" not in ended(capsys, ["plan", *given]).err
    for seed, name in ((4, "p4.jpg"), (5, "p5.webp")):
        PillowImage.fromarray(photograph(seed)).save(folder / name, quality=90)
    mixed = ["--degradation", "50% bicubic | 50% area"]
    for command, option in (
        (["plan"], "--degradation bicubic:4+jpeg:60-95\n"),
        (["calibrate", "--dry-run"], "--degradation bicubic:4+jpeg:60-95\n"),
        (["plan", *mixed], "--degradation '50% bicubic:4+jpeg:60-95 | 50% area:4+jpeg:60-95'\n"),
    ):
        told = ended(capsys, [*command, *given]).err
        assert "2 of 6 photographs are lossy files (JPEG, WEBP), and the inputs that" in told
        assert "will get no guarantee. If you will mask such files, add " + option in told
        again = [word for word in command if word not in mixed]
        assert "lossy" not in ended(capsys, [*again, *given, *shlex.split(option)]).err
    assert "lossy" not in ended(capsys, ["plan", *given, "--degradation", "bicubic+webp:80"]).err
    assert server.account.paid == paid
    vendor = bc.load_adapter(VENDOR, url=server.url)
    two = {"it": vendor, "other": (vendor, {"score": "texture"})}
    calls = [(bc.plan, vendor, {}), (bc.calibrate, vendor, {}), (bc.compare, two, {"held_out": 0.5})]
    for function, asked, more in [*calls, (bc.tune, vendor, {"alpha": 0.9, "nothing_chosen": True})]:
        with pytest.warns(UserWarning, match=r"will get no guarantee.*add degradation='bicubic:4\+jpeg:60-95'$"):
            function(asked, folder, run=tmp_path / function.__name__, max_cost=1, **ALL, **more)


@pytest.mark.parametrize(
    ("name", "saved", "lossy"),
    [
        ("p.webp", {"quality": 80}, "WEBP"),
        ("p.avif", {"quality": 80}, "AVIF"),
        ("p.jpg", {}, "JPEG"),
        ("p.tif", {"compression": "tiff_lzw"}, None),
        ("p.webp", {"lossless": True}, None),
        ("p.png", {}, None),
    ],
)
def test_every_lossy_format_alone_is_told_and_no_lossless_one(name, saved, lossy, tmp_path, capsys):
    PillowImage.fromarray(photograph(4)).save(tmp_path / name, **saved)
    told = ended(capsys, ["plan", str(tmp_path / name), "--adapter", "embedded", "--run", str(tmp_path / "run")]).err
    assert (f"1 of 1 photograph is a lossy file ({lossy})" in told) if lossy else ("lossy" not in told)


def test_a_certificate_of_a_mixture_does_not_bound_the_truth(scene, server, tmp_path, capsys):
    given = calibrated(scene, server, "mixed", tmp_path / "run")
    mask = ["mask", str(scene / "small.png"), "--alpha", "0.9", "--out", str(tmp_path / "out"), "--json"]
    (entry,) = json.loads(ended(capsys, [*mask, *given, "--degradation", MIXED]).out)["pictures"]
    certificate = json.loads(Path(entry["certificate"]).read_text())
    assert certificate["input_bound"] is None
    made = "Inputs are made like those of the calibration: 50% bicubic:4 | 50% area:4."
    assert made in certificate["assumptions"]


@pytest.mark.parametrize("command", ["calibrate", "plan", "mask", "audit"])
def test_a_bound_that_no_input_gives_is_refused_before_anything_is_paid(command, scene, server, tmp_path, capsys):
    before = server.account.paid
    folder = tmp_path / "run"
    if command in ("calibrate", "plan"):
        given = [str(scene / "photographs"), *of(server), "--degradation", MIXED, *SETTINGS, "--run", str(folder)]
    else:
        pictures = scene / ("small.png" if command == "mask" else "unseen")
        given = [str(pictures), *calibrated(scene, server, "mixed", folder), "--alpha", "0.9"]
    told = ended(capsys, [command, *given, "--guarantee", FROM_INPUT], 2).err
    assert "is not known which chain a picture went through. Say bound_from=delivered, or leave bound_from out" in told
    assert server.account.paid == before
    assert not list(folder.glob("**/ledger*"))


Twin = Callable[[bc.Adapter, Path], object]
TWINS: dict[str, Twin] = {
    "calibrate": lambda vendor, scene: bc.calibrate(
        vendor, scene / "photographs", guarantee=FROM_INPUT, degradation=MIXED, max_cost=1, run=scene / "none", **ALL
    ),
    "plan": lambda vendor, scene: bc.plan(
        vendor, 100, guarantee=FROM_INPUT, degradation=MIXED, run=scene / "none", **ALL
    ),
    "mask": lambda vendor, scene: bc.mask(
        vendor,
        scene / "small.png",
        scene / "mixed" / "calibration.json",
        0.9,
        guarantee=FROM_INPUT,
        max_cost=1,
        run=scene / "none",
    ),
    "audit": lambda vendor, scene: bc.audit(
        vendor,
        scene / "unseen",
        scene / "mixed" / "calibration.json",
        0.9,
        guarantee=FROM_INPUT,
        max_cost=1,
        run=scene / "none",
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_from_python_it_is_refused_as_well(name, vendor, scene, server):
    before = server.account.paid
    with pytest.raises(UsageError, match="it is not known which chain"):
        TWINS[name](vendor, scene)
    assert server.account.paid == before
    assert not (scene / "none").exists()


@pytest.mark.parametrize("command", ["mask", "audit", "splits"])
def test_inputs_that_are_declared_to_be_made_otherwise_are_refused(command, scene, server, tmp_path, capsys):
    before = server.account.paid
    pictures = {"mask": [str(scene / "small.png"), "--alpha", "0.9"], "audit": [str(scene / "unseen")], "splits": []}
    given = [*pictures[command], *calibrated(scene, server, "area", tmp_path / "run"), "--degradation", "bicubic"]
    more = ["--splits", "2"] if command == "splits" else []
    assert run(["audit" if command == "splits" else command, *given, *more]) == ProcedureMismatchError.exit_code
    told = capsys.readouterr().err
    assert "for inputs made by area:4; got --degradation 'bicubic:4'" in told
    assert server.account.paid == before


def test_inputs_that_are_declared_to_be_made_otherwise_are_refused_in_python(scene, vendor):
    calibration = scene / "area" / "calibration.json"
    for degradation, error in (("bicubic", ProcedureMismatchError), ("area:2", UsageError), ("no-step", UsageError)):
        where: dict = {"degradation": degradation, "max_cost": 1, "run": scene / "none"}
        with pytest.raises(error):
            bc.mask(vendor, scene / "small.png", calibration, 0.9, **where)
        with pytest.raises(error):
            bc.audit(vendor, scene / "unseen", calibration, 0.9, **where)
    assert not (scene / "none").exists()
    assert bc.mask(vendor, scene / "small.png", calibration, 0.9, degradation="area", max_cost=1, run=scene / "area")
    with pytest.raises(BlackboxConformalError, match="degradation"):
        bc.compare(
            {"one": vendor, "other": (vendor, {"degradation": "area"})}, scene / "photographs", 0.9, max_cost=1, **ALL
        )


def test_compare_tune_and_plan_make_their_inputs_by_it(scene, server, vendor, tmp_path, capsys):
    area = ["--degradation", "area", "--draws", "2", "--metric", "rgb-linf", "--yes", "--json"]
    photographs = str(scene / "photographs")
    plan = ["plan", photographs, *of(server), *area, "--score", "pixel-variance", "--run", str(scene / "area")]
    assert json.loads(ended(capsys, plan).out)["calls"] == 0, "the inputs are those of the calibration"
    choose = ["tune", photographs, *of(server), *area, "--alpha", "0.9", "--candidate", "pixel-variance"]
    assert run([*choose, "--candidate", "texture@1", "--run", str(scene / "area"), "--out", str(tmp_path / "t")]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 0
    tuned = bc.Calibration.load(tmp_path / "t")
    assert tuned.procedure.mixture.text == "area:4"
    two = [
        word for kind in ("pixel-variance", "texture") for word in ("--vendor", f"{VENDOR}:label={kind},score={kind}")
    ]
    compare = ["compare", photographs, *two, "-p", f"url={server.url}", *area, "--alpha", "0.9"]
    found = ended(capsys, [*compare, "--run", str(scene / "area")])
    assert [one["calls"] for one in json.loads(found.out)["vendors"]] == [0, 0]
    assert "--degradation area" in found.err, "the next command makes its inputs by it"
    given: dict = {"degradation": "area", "run": scene / "area", "max_cost": 1, "draws": 2, "score": "pixel-variance"}
    assert bc.plan(vendor, photographs, **given).calls == 0
    assert bc.tune(vendor, photographs, 0.9, candidates=["pixel-variance"], only_choose=True, **given).calls == 0
    compared = bc.compare({"one": vendor, "other": (vendor, {"score": "texture"})}, photographs, 0.9, **given)
    assert [one.calls for one in compared.standings] == [0, 0]


def test_a_plan_tells_how_inputs_are_made_where_nobody_said(tmp_path, capsys):
    write_photographs(tmp_path / "photographs", range(3))
    words = ["plan", str(tmp_path / "photographs"), "--adapter", "topaz", "-p", "task=denoise", "-p", "model=Normal"]
    code = run([*words, "-p", "scale=1", "--draws", "1", "--score", "texture", "--run", str(tmp_path / "run")])
    captured = capsys.readouterr()
    said = captured.out
    assert code == 0, captured.err
    assert "3, 1 draw each" in said
    assert "made of the photographs by noise:15" in said


CHAIN = "50% area+noise:2-6,shot=0.5+jpeg:60-95 | 50% blur:0.5-2+bicubic"


@pytest.fixture
def originals(tmp_path):
    write_photographs(tmp_path / "photographs", range(6))
    return tmp_path / "photographs"


def degraded(originals, out, *arguments):
    return run(["degrade", str(originals), "--out", str(out), "--json", "-q", *arguments])


def test_the_files_are_what_a_calibration_sends(originals, tmp_path, capsys):
    assert degraded(originals, tmp_path / "inputs", "--scale", "4", "--degradation", CHAIN, "--seed", "5") == 0
    made = json.loads(capsys.readouterr().out)
    write_draws(tmp_path / "outputs", range(6), 3)
    given = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=made", "--draws", "3"]
    given += ["--degradation", CHAIN, "--seed", "5", "--run", str(tmp_path / "run"), "--yes", "-q"]
    assert run(["calibrate", str(originals), *given]) == 0
    calibration = bc.Calibration.load(tmp_path / "run" / "calibration.json")
    assert {pixels_digest(read_image(tmp_path / "inputs" / f"p{seed}.png").pixels) for seed in range(6)} == {
        image.input for image in calibration.images
    }
    assert [(one["input"], one["size"]) for one in made] == [
        (str((tmp_path / "inputs" / f"p{seed}.png").resolve()), [16, 20]) for seed in range(6)
    ]


def test_what_was_drawn_is_said_and_makes_the_same_again(originals, tmp_path, capsys):
    chain = "blur:0.5-2+bicubic+jpeg:60-95,grid=random"
    assert run(["degrade", str(originals), "--out", str(tmp_path / "inputs"), "--degradation", chain]) == 0
    lines = capsys.readouterr().out.splitlines()
    for seed in range(6):
        (said,) = [line.partition(": 20×16, ")[2] for line in lines if line.startswith(f"p{seed}.png: ")]
        assert not Mixture.of_text(said).random
        low = Mixture.of_text(said).apply(photograph(seed), 4, "any")
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "inputs" / f"p{seed}.png")), low)
    assert lines[-2].startswith("Next: blackbox-conformal calibrate ")
    assert f"--degradation '{chain}'" in lines[-2] or f"--degradation {chain}" in lines[-2]
    assert lines[-1].startswith("Next: blackbox-conformal audit ")


def test_another_seed_draws_others_and_overwrites_nothing_unless_it_may(originals, tmp_path, capsys):
    out = tmp_path / "inputs"
    noise = ["--degradation", "area:2+noise:5"]
    assert degraded(originals, out, *noise) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert degraded(originals, out, *noise) == 0
    assert degraded(originals, out, *noise, "--seed", "1") == 2
    assert "exists with other content and is not overwritten; give --force or another --out" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert degraded(originals, out, *noise, "--seed", "1", "--force") == 0
    assert all(path.read_bytes() != before[path.name] for path in out.iterdir())
    with Image.open(out / "p0.png") as picture:
        assert picture.size == (40, 32)


def test_photographs_of_one_name_or_one_content_are_refused_before_anything_is_written(originals, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    Image.fromarray(photograph(9)).save(tmp_path / "more" / "p3.png")
    assert degraded(originals, tmp_path / "inputs", str(tmp_path / "more")) == 2
    assert "expected photographs with different names; 2 are called p3. Rename one" in capsys.readouterr().err
    assert not (tmp_path / "inputs").exists()
    Image.fromarray(photograph(3)[:, ::-1]).save(originals / "mirrored.png")
    assert degraded(originals, tmp_path / "inputs") == 2
    assert "mirrored" in capsys.readouterr().err
