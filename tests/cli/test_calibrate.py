"""`calibrate`: groups, tiles, levels and bounds; a file that would be overwritten is told before anything is drawn."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR, ended
from support.scripted_vendor import ScriptedGemini
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.testing.fault_server import FaultServer

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


def test_groups_have_thresholds_of_their_own_and_wrong_ones_are_refused_before_anything_is_paid(
    calibrate, tmp_path, server, names, capsys
):
    wrong = table(tmp_path, [(f"IMG_{index}.jpg", "day") for index in range(5)])
    assert calibrate("--groups", wrong) == 2
    said = capsys.readouterr().err
    assert f"{', '.join(names[:3])}, …" in said
    assert "IMG_0, IMG_1, IMG_2, …" in said
    assert "photograph,group line" in said
    assert server.account.paid == 0
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
    command = ["calibrate", str(frames), *CHOICES, "-p", f"url={server.url}"]
    command += ["--run", str(tmp_path / "run"), "--dry-run"]
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


DRAWN = ["--adapter", "folder", "-p", "label=synthetic", "--draws", "3"]
SETTINGS = ["--score", "smoothed-variance:sigma=2", "--metric", "rgb-linf:kernel=gaussian,sigma=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("together")
    write_draws(path / "outputs", range(32), 3)
    write_photographs(path / "known", range(24))
    write_photographs(path / "unseen", range(24, 32))
    return path


def calibrate_drawn(folder, *more):
    where = ["--run", str(folder / "run"), "--force", "--json"]
    return run(
        ["calibrate", str(folder / "known"), *DRAWN, "-p", f"path={folder / 'outputs'}", *SETTINGS, *where, *more]
    )


def test_levels_hold_together_and_certificates_and_audits_know_it(folder, capsys):
    assert calibrate_drawn(folder, "--guarantee", "high-probability", "--alpha", "0.2", "--alpha", "0.4") == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)["thresholds"]) == ["0.2", "0.4"]
    assert "These levels hold together" in told.err
    calibration = folder / "run" / "calibration.json"
    assert json.loads(calibration.read_text())["guarantee"]["together"] == [0.2, 0.4]
    given = [str(folder / "unseen"), "-p", f"path={folder / 'outputs'}", "--calibration", str(calibration)]
    assert run(["audit", *given, "--run", str(folder / "run"), "--json"]) == 0
    assert [level["alpha"] for level in json.loads(capsys.readouterr().out)["levels"]] == [0.2, 0.4]


def test_levels_that_cannot_hold_together_are_refused(folder, capsys):
    assert calibrate_drawn(folder, "--alpha", "0.2", "--alpha", "0.4") == 2
    assert "expected one --alpha, since expected holds at one level" in capsys.readouterr().err
    assert calibrate_drawn(folder, "--guarantee", "high-probability", "--alpha", "0.02", "--alpha", "0.4") != 0
    assert "alpha=0.02 needs at least" in capsys.readouterr().err


def test_the_screen_shows_the_given_level_alone_and_how_levels_would_hold_together(folder, capsys):
    assert calibrate_drawn(folder, "--alpha", "0.3", "-v") == 0
    told = capsys.readouterr().err
    assert "choosing the share you like voids the guarantee, since the 6 levels do not hold together" in told
    assert "For levels that do: --guarantee high-probability --alpha 0.15 --alpha 0.2 --alpha 0.3" in told
    assert calibrate_drawn(folder, "--alpha", "0.3") == 0
    told = capsys.readouterr().err
    rows = [line.split()[0] for line in told.partition("Thresholds")[2].splitlines()[3:] if line[:1].isdigit()]
    assert rows == ["0.3"]
    assert "do not hold together" not in told
    assert told.splitlines()[-1].startswith("Next: blackbox-conformal mask small.png ")


@pytest.mark.parametrize("rule", ["false-trust:tolerance=0.3", "false-trust", "per-image:of=false-trust,tolerance=0.3"])
def test_levels_that_would_hold_together_are_those_of_the_loss_that_was_calibrated(folder, capsys, rule):
    # The largest error of this metric is 1.9576; a share is at most 1.
    assert calibrate_drawn(folder, "--metric", "lab-l1:kernel=gaussian,sigma=2", "--guarantee", rule, "-v") == 0
    told = capsys.readouterr().err
    tolerance = "0.3" if "0.3" in rule else "0.1"
    typed = f"--guarantee high-probability:of=false-trust,tolerance={tolerance} --alpha 0.15 --alpha 0.2 --alpha 0.3"
    assert f"For levels that do: {typed}" in told
    calibration = bc.Calibration.load(folder / "run" / "calibration.json")
    for named, wrong in (("false-trust", "0.1"), (rule, tolerance)):
        assert f"exceeds {wrong}" in calibration.rule(named).statement(0.2, 24)


def test_levels_of_a_share_of_clear_detail_reach_the_half_that_its_headline_names(folder, capsys):
    rule = "clear-share:ceiling=9"
    assert calibrate_drawn(folder, "--metric", "lab-l1:kernel=gaussian,sigma=2", "--guarantee", rule, "-v") == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)["thresholds"]) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]
    assert "Choose alpha by the invention you accept" in told.err
    assert "--guarantee high-probability:of=clear-share,ceiling=9 --alpha" in told.err


def test_without_a_level_the_screen_shows_sizes_of_errors_or_what_is_possible(folder, capsys):
    assert calibrate_drawn(folder) == 0
    told = capsys.readouterr().err
    assert "Which alpha? Take the error you can live with, not the share you like" in told
    assert re.search(r"^  0\.1:\s+grey 128 that came back as \d+$", told, re.MULTILINE)
    assert "0.02:" not in told, "so few photographs do not reach it"
    shown = told.partition("loss bound")[2].partition("Next:")[0]
    assert not re.search(r"(?<![-+\d.])[\d.]+ %", shown), "no share of pixels or of detail"
    assert "Thresholds" not in shown
    assert told.count("With --alpha 0.1: On average over pictures like the 24 calibrated") == 1
    assert "On average over new photographs" not in told
    assert calibrate_drawn(folder, "-v") == 0
    assert "trusted share of the calibration pictures" in capsys.readouterr().err
    assert calibrate_drawn(folder, "--metric", "ssim", "--guarantee", "expected", "--nothing-chosen") == 0
    told = capsys.readouterr().err
    assert re.search(r"^  0\.1: +the largest ssim error where clear is at most 0\.1$", told, re.MULTILINE)
    assert "0.02:" not in told
    assert "missing" not in told


def test_the_level_and_the_bound_that_tune_was_given_and_chose_go_into_the_next_command(folder, capsys):
    given = [str(folder / "known"), *DRAWN, "-p", f"path={folder / 'outputs'}", *SETTINGS[2:], "--candidate", "texture"]
    promise = ["--alpha", "0.4", "--guarantee", "high-probability", "--only-choose", "--run", str(folder / "tuned")]
    told = ended(capsys, ["tune", *given, *promise, "--json"])
    chosen = json.loads(told.out)["guarantee"]
    step = next(line for line in told.err.splitlines() if line.startswith("Next:"))
    assert chosen.startswith("high-probability")
    assert f"--guarantee {chosen}" in step
    assert step.count("--guarantee") == 1
    assert "--alpha 0.4" in step


NOTE = "only for inputs made exactly by bicubic:4: with --guarantee expected:bound_from=input each mask takes a bound"


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    path = tmp_path_factory.mktemp("bound")
    write_draws(path / "outputs", range(12), 2)
    write_photographs(path / "known", range(12))
    return path


def calibrate_twelve(twelve, *more):
    vendor = ["--adapter", "folder", "-p", "label=synthetic", "-p", f"path={twelve / 'outputs'}", "--draws", "1"]
    where = ["--score", "texture", "--run", str(twelve / "run"), "--force", "--json"]
    return run(["calibrate", str(twelve / "known"), *vendor, *where, *more])


def test_it_is_said_where_the_metric_and_the_inputs_allow_it(twelve, capsys):
    assert calibrate_twelve(twelve) == 0
    assert NOTE in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--guarantee", "expected:bound_from=input"],
        ["--guarantee", "per-image"],
        ["--metric", "rgb-linf:sigma=2"],
        ["--metric", "lab-l1"],
    ],
)
def test_it_is_not_said_where_it_is_used_or_not_known(twelve, capsys, more):
    assert calibrate_twelve(twelve, *more) == 0
    assert NOTE not in capsys.readouterr().err


class Shop:
    """A paid vendor and a calibration of it on four photographs."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        self.folder, self.server = folder, server
        self.photographs = write_photographs(folder / "photographs", range(4))
        self.out = folder / "calibration.json"

    def calibrate(self, *more: str, command: str = "calibrate", images: list[Path] | None = None) -> int:
        vendor = ["--adapter", VENDOR, "-p", f"url={self.server.url}", "--metric", "rgb-linf"]
        common = ["--out", str(self.out), "--run", str(self.folder / "run"), "--yes", "-q"]
        score = ["--score", "pixel-variance"] if command == "calibrate" else []
        return run([command, *map(str, images or self.photographs), *vendor, *score, "--draws", "2", *common, *more])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def test_another_procedure_or_other_photographs_are_refused_before_anything_is_paid(shop, capsys):
    assert shop.calibrate() == 0
    written, paid = shop.out.read_bytes(), shop.server.account.paid
    assert paid == 8
    refused: list[tuple[list[str], list[Path] | None, str]] = [
        (["--draws", "3"], None, "another procedure (draws: 2 → 3)"),
        ([], shop.photographs[:3], "other photographs"),
    ]
    for more, images, other in refused:
        assert shop.calibrate(*more, images=images) == 2
        said = capsys.readouterr().err
        assert f"is a calibration of {other} and is not overwritten; give --force or another --out" in said
    assert (shop.out.read_bytes(), shop.server.account.paid) == (written, paid)
    assert shop.calibrate() == 0
    assert shop.calibrate("--draws", "3", "--force") == 0
    assert Calibration.load(shop.out).procedure.draws == 3


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"format": "blackbox-conformal certificate"}'])
def test_any_other_file_is_refused_before_anything_is_paid(shop, content, capsys):
    shop.out.write_bytes(content)
    for command, more in (("calibrate", []), ("tune", ["--alpha", "0.9", "--candidate", "pixel-variance"])):
        assert shop.calibrate(*more, command=command) == 2
        assert "exists and is no calibration; give --force or another --out" in capsys.readouterr().err
    assert (shop.out.read_bytes(), shop.server.account.paid) == (content, 0)


def test_tuning_again_is_no_conflict_and_another_split_is(shop, capsys):
    more = ["--alpha", "0.9", "--candidate", "pixel-variance", "--candidate", "patch-variance"]
    assert shop.calibrate(*more, command="tune") == 0
    written = shop.out.read_bytes()
    assert shop.calibrate(*more, command="tune") == 0
    assert shop.calibrate(*more, "--tuning-share", "0.5", command="tune") == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert shop.calibrate(*more, "--tuning-share", "0.5", "--only-choose", command="tune") == 2
    assert "Name the file that `tune`, `compare` or `plan --pilot` wrote" in capsys.readouterr().err
    apart = ["--out", str(shop.folder / "tuning.json")]
    assert shop.calibrate(*more, "--tuning-share", "0.5", "--only-choose", *apart, command="tune") == 0
    assert shop.out.read_bytes() == written


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_paid(shop, tmp_path, capsys):
    """A file lies where the folder of the results is to be made."""
    assert shop.calibrate() == 0
    paid = shop.server.account.paid
    (tmp_path / "taken").write_bytes(b"mine")
    inside, new = str(tmp_path / "taken" / "below" / "new"), write_photographs(tmp_path / "new", range(10, 14))
    vendor = ["--adapter", VENDOR, "-p", f"url={shop.server.url}"]
    with_calibration = ["--calibration", str(shop.out), *vendor, "--yes", "--alpha", "0.9"]
    choices = ["--alpha", "0.9", "--candidate", "pixel-variance"]
    contest = ["compare", *map(str, new), "--vendor", "embedded:draws=3,label=three"]
    contest += ["--vendor", "embedded", "--alpha", "0.7"]
    commands = [
        lambda: run(["mask", *map(str, new), *with_calibration, "--run", str(tmp_path / "run"), "--out", inside]),
        lambda: run(["audit", *map(str, new), *with_calibration, "--run", str(tmp_path / "run"), "--out", inside]),
        lambda: shop.calibrate("--out", inside, images=new),
        lambda: shop.calibrate("--run", inside, "--out", str(tmp_path / "c.json"), images=new),
        lambda: shop.calibrate("--out", inside, *choices, images=new, command="tune"),
        lambda: run([*contest, "--run", str(tmp_path / "contest"), "--out", inside]),
        lambda: run([*contest, "--run", inside]),
        lambda: run(["mask", *map(str, new), *with_calibration, "--run", inside, "--out", str(tmp_path / "masked")]),
    ]
    for command in commands:
        assert command() == 2
        assert str(tmp_path / "taken") in (said := capsys.readouterr().err)
        assert "can be written" in said
    assert shop.server.account.paid == paid
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert not (tmp_path / "masked").exists()


def test_pictures_of_an_editors_own_scale_are_calibrated_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-made-up")
    write_photographs(tmp_path / "photographs", range(12))
    choices = ["--score", "pixel-variance", "--metric", "rgb-linf", "--draws", "2", "--run", "run", "--yes"]
    with ScriptedGemini("NO_IMAGE") as server:
        vendor = ["--adapter", "gemini", "-p", f"url={server.url}", "--max-cost", "5", "--max-resample", "2"]
        code = run(["calibrate", "photographs", *vendor, *choices])
    assert code == 0, capsys.readouterr().err
    assert server.submissions == 25
    assert ledger_sum(tmp_path / "run")["cost_usd"] == server.billed == Decimal("1.6303")
