"""Groups, tiles and levels of `calibrate` and `mask`: tables that fit nothing are refused before anything is paid."""

import json

import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR, ended

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration

CHOICES = ["--adapter", VENDOR, "--draws", "2", "--score", "pixel-variance", "--yes"]


@pytest.fixture
def calibrate(photographs, tmp_path, server):
    def command(*more, metric="rgb-linf"):
        vendor = [*CHOICES, "-p", f"url={server.url}", "--run", str(tmp_path / "run"), "--metric", metric]
        return run(["calibrate", str(photographs), *vendor, *more])

    return command


@pytest.fixture
def names(photographs):
    return sorted(path.stem for path in photographs.iterdir())


def table(tmp_path, entries, name="table.csv"):
    (tmp_path / name).write_text("".join(f"{first},{second}\n" for first, second in entries))
    return str(tmp_path / name)


def mask(tmp_path, server, *more):
    low = tmp_path / "low.png"
    Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)).save(low)
    given = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--run", str(tmp_path / "run"), "--yes"]
    given += ["--adapter", VENDOR]
    return run(["mask", str(low), *given, "-p", f"url={server.url}", "--out", str(tmp_path / "masked"), *more])


def test_groups_of_other_photographs_are_refused_before_anything_is_paid(calibrate, tmp_path, server, names, capsys):
    wrong = table(tmp_path, [(f"IMG_{index}.jpg", "day") for index in range(5)])
    assert calibrate("--groups", wrong) == 2
    said = capsys.readouterr().err
    assert f"{', '.join(names[:3])}, …" in said
    assert "IMG_0, IMG_1, IMG_2, …" in said
    assert "photograph,group line" in said
    assert server.account.paid == 0


def test_groups_have_thresholds_of_their_own_and_a_mistyped_one_is_refused(calibrate, tmp_path, server, names, capsys):
    some = table(tmp_path, [(name, "day" if index % 2 else "night") for index, name in enumerate(names[:5])])
    assert calibrate("--groups", some, "--alpha", "0.5", "--json") == 0
    out = capsys.readouterr()
    assert f"1 of 6 photographs have no group: {names[5]}" in out.err
    assert "Thresholds within groups" in out.err
    document, calibration = json.loads(out.out), Calibration.load(tmp_path / "run" / "calibration.json")
    assert set(document["groups"]) == {"day", "night"}
    found = calibration.rule_of_group("night").threshold(calibration.curves, 0.5)
    assert document["groups"]["night"]["0.5"] == found
    assert document["groups"]["night"]["0.5"] != document["thresholds"]["0.5"]
    paid = server.account.paid
    assert mask(tmp_path, server, "--alpha", "0.5", "--group", "nihgt") == 2
    assert "expected one of the groups that were calibrated, day, night; got nihgt" in capsys.readouterr().err
    assert server.account.paid == paid


def test_tiles_are_calibrated_and_masked_by_the_photograph_they_are_of(calibrate, tmp_path, server, names, capsys):
    tiles = table(tmp_path, [(f"{name}.png", f"scene {index // 2}") for index, name in enumerate(names)])
    assert calibrate("--tiles", tiles, "--alpha", "0.5", "--json") == 0
    document, calibration = json.loads(capsys.readouterr().out), Calibration.load(tmp_path / "run" / "calibration.json")
    clusters = tuple(image.cluster for image in calibration.images)
    assert (document["n"], len(set(clusters)), calibration.n) == (3, 3, 6)
    of_scenes = calibration.threshold(0.5)
    assert document["thresholds"]["0.5"] == of_scenes
    plain = Calibration.from_curves(
        calibration.procedure,
        calibration.bound,
        [image.model_copy(update={"cluster": None}) for image in calibration.images],
        list(calibration.curves),
    )
    assert of_scenes == plain.threshold(0.5, "by-cluster", clusters=clusters)
    assert of_scenes != plain.threshold(0.5)
    assert mask(tmp_path, server, "--alpha", "0.5") == 0
    certificate = json.loads(next((tmp_path / "masked").glob("*.json")).read_text())
    assert certificate["n_calibration"] == 3
    assert "For a tile drawn at random from a new photograph" in certificate["statement"]
    assert "3 photographs" in certificate["statement"]
    paid = server.account.paid
    assert mask(tmp_path, server, "--alpha", "0.5", "--guarantee", "per-image:delta=0.4") == 2
    assert "worst tile" in capsys.readouterr().err
    assert server.account.paid == paid


def test_frames_of_a_clip_may_look_alike(photographs, tmp_path, server, names, capsys):
    frames = tmp_path / "frames"
    frames.mkdir()
    for path in photographs.iterdir():
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for number in range(2):
            Image.fromarray(np.minimum(pixels, 247) + np.uint8(8 * number)).save(frames / f"{path.stem}-{number}.png")
    command = [
        "calibrate",
        str(frames),
        *CHOICES,
        "-p",
        f"url={server.url}",
        "--run",
        str(tmp_path / "run"),
        "--dry-run",
    ]
    assert "show the same picture" in ended(capsys, command, 2).err
    clips = table(tmp_path, [(f"{name}-{number}", name) for name in names for number in range(2)])
    assert run([*command, "--tiles", clips]) == 0


@pytest.mark.parametrize(
    ("entries", "more", "said"),
    [
        (4, [], "2 of 6 have none"),
        (6, ["--guarantee", "per-image"], "says nothing of its worst tile"),
        (6, ["--alpha", "0.2"], "got 3, so 1 are missing"),
    ],
)
def test_tiles_that_cannot_calibrate_are_refused_before_anything_is_paid(
    calibrate, tmp_path, server, names, capsys, entries, more, said
):
    tiles = table(tmp_path, [(name, f"scene {index // 2}") for index, name in enumerate(names[:entries])])
    assert calibrate("--tiles", tiles, *more) == 2
    assert said in capsys.readouterr().err
    assert server.account.paid == 0


def test_a_level_of_zero_is_for_the_guarantee_to_allow(calibrate, photographs, tmp_path, server, capsys):
    assert calibrate("--alpha", "0") == 2
    assert "0 means nothing for" in capsys.readouterr().err
    vendor = [*CHOICES, "-p", f"url={server.url}", "--run", str(tmp_path / "run"), "--metric", "rgb-linf"]
    for command in (["tune", str(photographs), *vendor], ["plan", str(photographs), *vendor[:-4], *vendor[-2:]]):
        assert run([*(one for one in command if command[0] != "plan" or one != "--yes"), "--alpha", "0"]) == 2
        assert "above 0" in capsys.readouterr().err
    each = ["--guarantee", "per-image:delta=0.2"]
    assert calibrate("--alpha", "0", *each, "--json") == 0
    assert "0" in json.loads(capsys.readouterr().out)["thresholds"]
    paid = server.account.paid
    assert mask(tmp_path, server, "--alpha", "0", "--guarantee", "expected") == 2
    assert "above 0" in capsys.readouterr().err
    assert server.account.paid == paid
    assert mask(tmp_path, server, "--alpha", "0") == 0
    certificate = json.loads(next((tmp_path / "masked").glob("*.json")).read_text())
    assert certificate["alpha"] == 0
    assert "every trusted pixel has a rgb-linf error of at most 0" in certificate["statement"]


def test_levels_that_are_shown_follow_the_bound_of_the_metric(calibrate, photographs, tmp_path, server, capsys):
    assert calibrate("--json", metric="delta-e-2000") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bound"] == 20
    assert list(document["thresholds"]) == ["0.2", "0.5", "1", "1.5", "2", "3"]
    assert run(["plan", str(photographs), "--adapter", "embedded", "--metric", "delta-e-2000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["needed_n"]["2"] == 9
