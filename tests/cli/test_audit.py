"""`audit` and `report`: on a folder of outputs, by splits, of claims and annotations; what is printed and kept."""

import json
import re
import shlex
import shutil
from types import SimpleNamespace

import click
import numpy as np
import pytest
from PIL import Image
from support.annotation_files import marked, pictures, png
from support.command_line import ended
from support.report_material import make_run
from support.restoring_vendor import RESTORING
from support.synthetic import draw, photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.annotations.annotation_file import PEOPLE, Origin, read_annotation, write_annotation
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.random_splits import CAUTION
from blackbox_conformal.method.audits.verdict import FIXED
from blackbox_conformal.pages.report.report_command import _suggest
from blackbox_conformal.support.wording import at_least
from blackbox_conformal.testing.fault_server import FaultServer

VENDOR = ["--adapter", "folder", "-p", "label=synthetic", "--draws", "3"]
SETTINGS = ["--score", "smoothed-variance:sigma=2", "--metric", "rgb-linf:kernel=gaussian,sigma=2"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder with 24 calibrated photographs, 8 unseen ones, the vendor's outputs of all, and the calibration."""
    folder = tmp_path_factory.mktemp("audit")
    write_draws(folder / "outputs", range(32), 3)
    write_photographs(folder / "known", range(24))
    write_photographs(folder / "unseen", range(24, 32))
    assert run(["calibrate", str(folder / "known"), *outputs(folder), "--run", str(folder / "run"), "-q"]) == 0
    return folder


def outputs(folder):
    return [*VENDOR, "-p", f"path={folder / 'outputs'}", *SETTINGS]


def audit(folder, *more, images="unseen", where="run"):
    given = [str(folder / images), "-p", f"path={folder / 'outputs'}"] if images else []
    return run(
        [
            "audit",
            *given,
            "--calibration",
            str(folder / "run" / "calibration.json"),
            "--run",
            str(folder / where),
            *more,
        ]
    )


def test_a_folder_of_outputs_is_audited_without_a_call_and_shown_in_the_report(scene, capsys):
    assert audit(scene, "--json", "-v") == 0
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert (document["n"], document["units"]) == (8, 8)
    assert document["verdict"] in ("confirmed", "inconclusive")
    assert [level["alpha"] for level in document["levels"]] == [0.05, 0.1, 0.15, 0.2, 0.3]
    assert all(level["tested"] for level in document["levels"])
    assert document["leakage"]["n"] == 24
    assert [one["alpha"] for one in document["worst"]] == [0.1] * 3 + [0.15] * 3 + [0.2] * 3 + [0.3] * 3
    assert "splits" not in document
    for level in document["levels"]:
        assert f"At {level['alpha']:g}: {level['meaning']}" in out.err, "people's text stands on stderr beside JSON"
    assert audit(scene, "-q", "--alpha", "0.2") == 0
    assert run(["report", "--run", str(scene / "run"), "--out", str(scene / "r.html"), "--json", "--force"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["audited"], document["audit"]) == (8, "inconclusive")


def test_people_are_told_what_each_figure_is_and_a_verdict_comes_first(scene, capsys):
    assert audit(scene, "--alpha", "0.03", "--alpha", "0.2", "-v") == 0
    told = capsys.readouterr().out
    verdict = r"Audit on 8 unseen photographs: not yet confirmed: 8 of at least \d+ photographs, no sign against it\n"
    short, shorter = (f"error where clear is at most {level}.\n" for level in ("0.03", "0.2"))
    before, _, after = told.partition(shorter)
    assert before.startswith("Promised: On average over pictures like the 24 calibrated, the largest ")
    assert short in before
    assert re.match(verdict, after)
    assert "On average over new photographs" not in told
    assert audit(scene, "--alpha", "0.2", "--full") == 0
    assert "Promised: On average over new photographs, the largest " in capsys.readouterr().out
    assert FIXED in told
    assert "nothing trusted" in told
    assert "Nothing can be trusted at 0.03: 24 calibration photographs, and at least 33 are needed." in told
    assert re.search(r"At 0\.2: the risk is 0\.\d+, not above 0\.2", told)
    assert "PSNR, dB in sRGB, inside and outside the mask" in told
    assert "SSIM of luminance, inside and outside the mask" in told
    assert "No PSNR or SSIM follows" not in told
    assert "Sensitivity at alpha = 0.2: what if the vendor trained on some of the" in told
    assert "Worst photographs" in told
    assert "Calls made: 24." in told or "stored already: 24." in told
    assert f"blackbox-conformal report --run {scene / 'run'}" in told
    table = told.partition("alpha ")[2].partition("Trusted is")[0]
    assert len(max(table.splitlines(), key=len)) <= 80, "the verdicts fit a narrow terminal"
    assert audit(scene, "--alpha", "0.2") == 0
    promised, *told = capsys.readouterr().out.splitlines()
    assert promised.startswith("Promised: ")
    assert told[0].startswith("Audit on 8 unseen photographs: not yet confirmed: 8 of at least ")
    assert told[1].startswith("At 0.2 use the plain enlargement: in the clear part it is nearer to the originals on 8 ")
    assert told[2].startswith("At 0.2: the risk is ")
    assert told[3].startswith("Risk: the mean over photographs of the largest ")
    assert len(told) == 18
    assert told[7].startswith("How near to the originals in the clear part: vendor and plain enlargement and free ")
    assert max(map(len, told[8:12])) <= 80
    assert [line.split()[0] for line in told[10:12]] == ["0.2", "all"]
    assert told[12].startswith(
        "The clear part of the audited photographs beyond the free reference: at 0.2 right detail "
    )
    assert told[13].startswith("Of the detail missing in plain enlargement the vendor restored ")
    assert told[14].startswith("Calls made: ")
    assert told[15] == "The report shows more, and so does -v: quality, worst and kinds of photographs."
    assert [line.split()[:3] for line in told[16:]] == [
        ["Next:", "blackbox-conformal", "view"],
        ["Next:", "blackbox-conformal", "report"],
    ]


def test_kinds_of_photographs_are_shown_and_the_one_that_fails_is_named(tmp_path, capsys):
    write_draws(tmp_path / "outputs", range(32), 3)
    known, unseen = write_photographs(tmp_path / "known", range(16)), write_photographs(tmp_path / "u", range(16, 32))
    lines = []
    for seed, path in enumerate(unseen, 16):
        lines.append(f"{path.name},{'night' if seed % 2 else 'day'}\n")
        for one in (tmp_path / "outputs" / path.stem).iterdir() if seed % 2 else ():
            Image.fromarray((np.asarray(Image.open(one)) * 0.3).astype(np.uint8)).save(one)
    (tmp_path / "groups.csv").write_text("".join(lines))
    given = [*VENDOR, "-p", f"path={tmp_path / 'outputs'}", *SETTINGS, "--run", str(tmp_path / "run")]
    assert run(["calibrate", str(tmp_path / "known"), *given, "-q"]) == 0
    looked_at = [str(tmp_path / "u"), "-p", f"path={tmp_path / 'outputs'}", "--run", str(tmp_path / "run")]
    looked_at += ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.1"]
    out = ended(capsys, ["audit", *looked_at, "--groups", str(tmp_path / "groups.csv"), "--json"], 3)
    rows = {row["kind"]: row for row in json.loads(out.out)["kinds"]}
    assert [rows[name]["n"] for name in ("day", "night")] == [8, 8]
    assert rows["night"]["fails"]
    assert not rows["day"]["fails"]
    assert sum(row["n"] for row in rows.values() if row["by"] == "texture") == 16
    assert "Photographs of group night: risk 0." in out.err
    assert "at alpha=0.1, above 0.1 (at least 0." in out.err
    assert "must be named on photographs that were not looked at" in out.err
    (line,) = [line for line in out.err.splitlines() if "Next: blackbox-conformal calibrate" in line]
    words = shlex.split(line.partition("blackbox-conformal ")[2])
    words[1:2] = [str(path) for path in known]
    (tmp_path / "all.csv").write_text("".join(f"{path.name},day\n" for path in known))
    words[words.index("groups.csv")] = str(tmp_path / "all.csv")
    assert run([*words, "--run", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"].keys() == {"day"}
    first, second = (Calibration.load(tmp_path / run / "calibration.json") for run in ("run", "again"))
    assert first.procedure == second.procedure, "it is calibrated as before"
    assert run(["report", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "r.html"), "-q"]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "Whom it fails: risk by kind of photograph" in page
    assert "Photographs of group night: risk 0." in page
    assert run(["report", "--run", str(tmp_path / "again"), "--out", str(tmp_path / "s.html"), "-q"]) == 0
    described = (tmp_path / "s.html").read_text()
    assert "Whom it fails: risk by kind of photograph" in described
    assert "so the figures only describe them" in described
    capsys.readouterr()
    told = ended(capsys, ["audit", *looked_at, "-v"], 3).out
    assert "Whom it fails: risk by kind of photograph" in told
    assert "rather textured" in told
    assert "night" not in told.partition("risk by kind")[2].partition("PSNR")[0], "nobody named groups"


def test_an_audit_of_another_guarantee_leaves_the_report_alone(scene, capsys):
    assert audit(scene, "-q", "--alpha", "0.2") == 0
    kept = {path: path.read_bytes() for path in (scene / "run" / "report").rglob("*.*")}
    assert audit(scene, "--guarantee", "per-image:delta=0.2", "--alpha", "0.3", "--splits", "3") == 0
    told = capsys.readouterr().out
    assert "claimed at most" in told
    assert "is not kept for it" in told
    assert {path: path.read_bytes() for path in (scene / "run" / "report").rglob("*.*")} == kept


def test_quality_stands_beside_its_bound_where_one_follows(scene, tmp_path, capsys):
    calibration = str(tmp_path / "c.json")
    settings = [*outputs(scene)[:-1], "rgb-linf"]
    assert run(["calibrate", str(scene / "known"), *settings, "--run", str(tmp_path), "--out", calibration, "-q"]) == 0
    more = ["-p", f"path={scene / 'outputs'}", "--run", str(tmp_path), "--alpha", "0.3", "--json", "-v"]
    out = ended(capsys, ["audit", str(scene / "unseen"), "--calibration", calibration, *more])
    level = json.loads(out.out)["levels"][0]
    assert level["psnr_trusted_in_metric_space"] == pytest.approx(level["psnr_trusted"])
    assert level["psnr_trusted"] >= level["psnr_bound_if_trusted"]
    lines = out.err.splitlines()
    title = lines.index("PSNR, dB in sRGB, inside and outside the mask, against its bound")
    figures = [f"{level[key]:.2f}" for key in ("psnr_trusted", "psnr_untrusted", "psnr_all")]
    figures.append(at_least(level["psnr_bound_if_trusted"], 4))
    assert lines[title + 3].split()[1:4] + lines[title + 3].split()[-1:] == figures
    assert "Promised at least: PSNR over trusted pixels in sRGB with peak 1, on average over photographs" in out.err


def test_crops_are_written_beside_the_truth(scene, tmp_path, capsys):
    assert audit(scene, "--alpha", "0.2", "--worst", "2", "--out", str(tmp_path / "crops"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["worst"]) == 2
    files = [file for one in document["worst"] for file in one["files"].values()]
    assert sorted(files) == sorted(str(path.resolve()) for path in (tmp_path / "crops").iterdir())
    assert len(files) == 6
    assert audit(scene, "--alpha", "0.2", "--worst", "0", "-q", "--out", str(tmp_path / "none")) == 0
    assert not (tmp_path / "none").exists()


def test_splits_of_a_calibration_alone_draw_nothing_and_say_that_they_depend(scene, capsys):
    assert audit(scene, "--splits", "40", "--alpha", "0.2", "--alpha", "0.3", images=None) == 0
    told = capsys.readouterr().out
    assert "40 random splits of 24 photographs, 17 calibrate and 7 are measured: no verdict" in told
    assert CAUTION in told
    assert audit(scene, "--splits", "40", "--calibrate-on", "0.5", "--json", "-q", images=None) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["n_calibration"], document["n_measured"], document["splits"]) == (12, 12, 40)
    assert document["verdict"] == "none: dependent splits"
    assert document["caution"] == CAUTION


def test_splits_beside_an_audit_take_its_photographs_in(scene, capsys):
    assert audit(scene, "--splits", "20", "--alpha", "0.3", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n"] == 8
    assert (document["splits"]["n_calibration"], document["splits"]["n_measured"]) == (24, 8)
    assert run(["report", "--run", str(scene / "run"), "--out", str(scene / "s.html"), "-q", "--force"]) == 0
    assert "20 random splits of 32 photographs" in (scene / "s.html").read_text()


def test_a_pool_is_drawn_once_and_split_and_can_be_calibrated_and_reported_afterwards(scene, tmp_path, capsys):
    command = ["audit", str(scene / "known"), "--splits", "30", "--alpha", "0.3", *outputs(scene)]
    first = json.loads(ended(capsys, [*command, "--run", str(tmp_path / "pool"), "--json"]).out)
    assert (first["n_calibration"], first["n_measured"]) == (17, 7)
    assert audit(scene, "--splits", "30", "--alpha", "0.3", "--json", "-q", images=None) == 0
    assert json.loads(capsys.readouterr().out) == first, "the same photographs, the same splits"
    where = ["--run", str(tmp_path / "pool")]
    assert run(["audit", str(scene / "known"), "--splits", "30", "--alpha", "0.3", *outputs(scene), *where]) == 0
    assert f"`calibrate` on the same photographs with --run {tmp_path / 'pool'}" in capsys.readouterr().out
    assert run(["calibrate", str(scene / "known"), *outputs(scene), *where, "-q"]) == 0
    assert run(["report", *where, "-q"]) == 0
    assert "30 random splits of 24 photographs" in (tmp_path / "pool" / "report.html").read_text()


def foreign(scene, folder, low, high):
    """The audit of a vendor with the calibrated label that adds `low` to `high` steps, and one colour to a picture."""
    import numpy as np
    from PIL import Image

    write_photographs(folder / "unseen", range(100, 116))
    for seed in range(100, 116):
        (folder / "outputs" / f"p{seed}").mkdir(parents=True)
        shift = np.random.default_rng(seed).integers(low, high, 3)
        for index in range(3):
            picture = np.clip(draw(photograph(seed), 1000 * seed + index) + shift, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / "outputs" / f"p{seed}" / f"{index}.png")
    calibration = str(scene / "run" / "calibration.json")
    vendor = ["-p", "label=synthetic", "-p", f"path={folder / 'outputs'}", "--run", str(folder / "run")]
    return ["audit", str(folder / "unseen"), "--calibration", calibration, "--alpha", "0.2", *vendor]


def test_a_planted_foreign_vendor_is_contradicted_and_exits_with_3(scene, tmp_path, capsys):
    """It invents colours that the score knows nothing of."""
    out = ended(capsys, [*foreign(scene, tmp_path, 60, 120), "--json"], 3)
    document = json.loads(out.out)
    assert document["verdict"] == "contradicted"
    level = document["levels"][0]
    assert level["risk"] > level["ci"][0] > 0.2
    assert level["p_value"] <= level["p_promise"] <= 0.05
    assert "Do not use this calibration" in out.err


def test_a_vendor_that_differs_but_may_keep_the_promise_is_shifted_and_exits_with_0(scene, tmp_path, capsys):
    command = foreign(scene, tmp_path, 25, 45)
    out = ended(capsys, [*command, "--json"])
    document = json.loads(out.out)
    level = document["levels"][0]
    assert (document["verdict"], level["verdict"]) == ("shifted", "shifted")
    assert level["risk"] > 0.2
    assert level["ci"][0] <= 0.2
    assert level["p_value"] <= 0.05 < level["p_promise"]
    assert "warning: 16 unseen photographs are not like those of the calibration" in out.err
    calibration = str(scene / "run" / "calibration.json")
    assert run(["report", "--run", str(tmp_path / "run"), "--calibration", calibration, "-q"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "! shifted" in page
    assert "That the promise is broken all the same, this audit does not show." in page


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ([], r"expected --calibration FILE, or --splits N"),
        (["--splits", "5"], r"expected IMAGES or --calibration FILE to split"),
        (["--splits", "0"], r"expected a whole number from 1 to 100000; got '0'"),
        (["--calibration", "CALIBRATION"], r"expected IMAGES that calibration has not seen, or --splits N"),
        (["--calibration", "CALIBRATION", "--draws", "4", "UNSEEN"], r"expected no --draws beside --calibration"),
        (["--calibration", "CALIBRATION", "--fit", "crop", "UNSEEN"], r"expected no --fit beside --calibration"),
        (["--calibration", "CALIBRATION", "KNOWN", "-p", "PATH"], r"has not seen; 24 of 24 were used for it"),
        (["--calibration", "CALIBRATION", "UNSEEN", "-p", "PATH", "--guarantee", "by-cluster"], r"--tiles FILE"),
        (
            ["--calibration", "CALIBRATION", "UNSEEN", "-p", "PATH", "--guarantee", "false-trust:bound_from=delivered"],
            r"Leave bound_from",
        ),
        (
            ["--calibration", "CALIBRATION", "--splits", "3", "--guarantee", "expected:leaked=2"],
            r"treats its photographs",
        ),
    ],
)
def test_mistakes_are_one_line_with_a_way_out(scene, tmp_path, capsys, given, match):
    named = {
        "CALIBRATION": str(scene / "run" / "calibration.json"),
        "UNSEEN": str(scene / "unseen"),
        "PATH": f"path={scene / 'outputs'}",
        "KNOWN": str(scene / "known"),
    }
    command = [named.get(word, word) for word in given]
    out = ended(capsys, ["audit", *command, "--run", str(tmp_path / "run")], 2)
    assert re.search(match, out.err), out.err
    assert "Traceback" not in out.err
    assert out.out == ""


@pytest.mark.parametrize("command", ["audit", "plan", "mask", "calibrate", "report", "demo"])
def test_a_level_that_nothing_can_exceed_is_refused_by_every_command(scene, tmp_path, capsys, command):
    """The bound of this metric is 1; a percentage is the likely mistake."""
    calibration = ["--calibration", str(scene / "run" / "calibration.json")]
    drawn = ["-p", f"path={scene / 'outputs'}", "--run", str(tmp_path / "run")]
    given = {
        "audit": [str(scene / "unseen"), *calibration, *drawn],
        "plan": [str(scene / "known"), *outputs(scene)],
        "mask": [str(scene / "unseen" / "p24.png"), *calibration, *drawn, "--out", str(tmp_path / "out")],
        "calibrate": [str(scene / "known"), *outputs(scene), "--run", str(tmp_path / "run")],
        "report": ["--run", str(scene / "run")],
        "demo": ["--images", str(scene / "known"), "--out", str(tmp_path / "demo")],
    }[command]
    told = ended(capsys, [command, *given, "--alpha", "5"], 2).err
    assert "which no picture can exceed" in told
    assert "For 5 % give --alpha 0.05" in told
    assert not (tmp_path / "run" / "ledger.sqlite").exists()


@pytest.mark.parametrize("guarantee", ["expected", "high-probability:delta=1e-12,method=mixture"])
def test_a_tiny_level_is_answered_by_every_command(scene, tmp_path, capsys, guarantee):
    tiny = ["--alpha", "1e-300", "--guarantee", guarantee]
    assert run(["plan", str(scene / "known"), *outputs(scene), *tiny, "--run", str(tmp_path)]) == 0
    assert "e+30" in capsys.readouterr().out.partition("is out of reach of the guarantee")[2]
    assert run(["calibrate", str(scene / "known"), *outputs(scene), *tiny, "--run", str(tmp_path)]) == 2
    assert "photographs for a loss bounded by 1; got 24, so about" in capsys.readouterr().err
    assert audit(scene, *tiny, "--json", where="tiny") == 0
    level = json.loads(capsys.readouterr().out)["levels"][0]
    assert (level["alpha"], level["tested"]) == (1e-300, False)
    assert len(level["meaning"]) < 250


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """A folder of 40 photographs and a vendor that enlarges plainly, so that it invents next to nothing."""
    folder = tmp_path_factory.mktemp("claim")
    write_photographs(folder / "photographs", range(40))
    with FaultServer() as server:
        yield folder, server


def claim(claimed, text, *more):
    folder, server = claimed
    vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "-p", "scale=4", "--run", str(folder / "run")]
    return run(["audit", str(folder / "photographs"), *vendor, "--yes", "--claim", text, *more])


def test_a_false_claim_is_contradicted_and_a_true_one_supported_with_the_fewest_calls(claimed, capsys):
    server = claimed[1]
    assert claim(claimed, "restored:at_least=0.9", "--json") == 3
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert (found["verdict"], found["claim"]["figure"]) == ("contradicted", "restored")
    assert found["n"] == found["calls"] == server.account.paid < found["given"] == 40
    assert "It takes at least" in out.err
    assert "claim is contradicted by" in out.err
    paid = server.account.paid
    assert claim(claimed, "restored:at_least=0.9", "--json") == 3
    assert json.loads(capsys.readouterr().out)["cached"] == paid
    assert server.account.paid == paid, "the same photographs first, and nothing is paid twice"
    assert claim(claimed, "erased:at_most=0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "supported"


def test_a_claim_is_about_no_mask_and_python_makes_it_too(claimed, capsys):
    before = claimed[1].account.paid
    for more in (["--score", "texture"], ["--metric", "rgb-l1"], ["--alpha", "0.1"], ["--guarantee", "expected"]):
        assert claim(claimed, "invented:at_most=0.2", *more) == 2
        assert "not about masks" in capsys.readouterr().err
    assert claimed[1].account.paid == before
    folder, server = claimed
    vendor = bc.load_adapter(RESTORING, url=server.url, scale=4)
    found = bc.audit_claim(vendor, folder / "photographs", "restored:at_least=0.9", max_cost=1, run=folder / "python")
    assert repr(found) == f"<ClaimAudit of {found.looked} photographs: contradicted>"
    with pytest.raises(UsageError, match="leave metric out"):
        bc.audit_claim(vendor, folder / "photographs", "restored:at_least=0.9", metric="rgb-l1", max_cost=1)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("cli") / "run", hostile=False, sizes=((90, 70),)).folder


def test_a_run_folder_becomes_one_file_and_errors_are_one_line(reported, capsys, tmp_path):
    out = ended(capsys, ["report", "--run", str(reported), "--json"])
    document = json.loads(out.out)
    assert document["report"] == str((reported / "report.html").resolve())
    assert (document["audited"], document["masked"]) == (1, 0)
    assert document["audit"] in ("confirmed", "inconclusive", "contradicted")
    assert (reported / "report.html").read_text().startswith("<!doctype html>")
    assert "report.html" in out.err
    assert run(["report", "--run", str(tmp_path / "nowhere")]) == 2
    assert run(["report", "--run", str(tmp_path)]) == 2
    assert run(["report", "--run", str(reported), "--alpha", "-1"]) == 2
    text = ended(capsys, ["report"], 2).err
    assert "Traceback" not in text
    assert "expected a run folder" in text
    assert "calibration.json" in text


def test_after_an_audit_of_answers_on_a_disk_no_watch_is_advised(tmp_path, capsys):
    def advised(adapter):
        about = SimpleNamespace(procedure=SimpleNamespace(vendor={"adapter": adapter, "parameters": {}}))
        screen = Screen(as_json=False, quiet=False, verbose=0)
        with click.Context(click.Command("report")):
            _suggest(screen, about, object(), tmp_path / "calibration.json", tmp_path)
        return capsys.readouterr().out.split()[2]

    assert (advised("folder"), advised("embedded")) == ("view", "watch")


def test_a_report_is_made_anew_and_any_other_file_is_not_overwritten(reported, tmp_path, capsys):
    page = reported / "report.html"
    assert run(["report", "--run", str(reported), "-q"]) == 0
    assert run(["report", "--run", str(reported), "-q", "--alpha", "0.2"]) == 0
    written = page.read_bytes()
    assert b"alpha = 0.2" in written
    elsewhere = make_run(tmp_path / "other", sizes=((64, 48),)).folder
    assert run(["report", "--run", str(elsewhere), "-q"]) == 0
    others = (
        b"<!doctype html>mine",
        written.replace(b"alpha = 0.2", b"alpha = 0.3"),
        written + b"<!-- a remark -->",
        (elsewhere / "report.html").read_bytes(),
        b"",
    )
    for other in others:
        page.write_bytes(other)
        assert "--force" in ended(capsys, ["report", "--run", str(reported), "-q", "--alpha", "0.2"], 2).err
        assert page.read_bytes() == other
    assert run(["report", "--run", str(reported), "-q", "--alpha", "0.2", "--force"]) == 0
    assert page.read_bytes() == written


def test_out_and_calibration_may_lie_elsewhere(reported, tmp_path):
    calibration = tmp_path / "elsewhere.json"
    calibration.write_bytes((reported / "calibration.json").read_bytes())
    out = tmp_path / "deep" / "page.html"
    assert run(["report", "--run", str(reported), "--calibration", str(calibration), "--out", str(out), "-q"]) == 0
    assert out.is_file()


def test_damaged_material_is_an_error_that_names_the_file(reported, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(reported, copy)
    next((copy / "report").glob("*/audit-*.preview")).write_text("{}")
    assert "damaged preview file" in ended(capsys, ["report", "--run", str(copy), "--force"], 2).err


def test_a_calibration_that_was_written_elsewhere_is_found_by_its_run_folder(photographs, tmp_path, capsys):
    elsewhere, reported = tmp_path / "results" / "mine.json", tmp_path / "run"
    for path in photographs.iterdir():
        (tmp_path / "outputs" / path.stem).mkdir(parents=True)
        for index in range(2):
            darker = Image.open(path).point(lambda value: max(value - 1, 0))
            darker.save(tmp_path / "outputs" / path.stem / f"{index}.png")
    vendor = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=darker", "--draws", "2"]
    vendor += ["--score", "bicubic-gap"]
    assert run(["calibrate", str(photographs), *vendor, "--run", str(reported), "--out", str(elsewhere), "-q"]) == 0
    assert not (reported / "calibration.json").exists()
    assert run(["report", "--run", str(reported), "--json"]) == 0
    digest = json.loads(elsewhere.read_text())["digest"]
    assert json.loads(capsys.readouterr().out)["calibration"] == digest
    low, again = tmp_path / "low.png", ["--calibration", str(elsewhere), "--run", str(reported)]
    new = Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 40).convert("RGB")
    new.resize((16, 16)).save(low)
    (tmp_path / "outputs" / "low").mkdir()
    for index in range(2):
        new.save(tmp_path / "outputs" / "low" / f"{index}.png")
    given = ["-p", f"path={tmp_path / 'outputs'}", "--alpha", "0.9", "--out", str(tmp_path / "masked")]
    assert f"report --run {reported} --calibration {elsewhere}" in ended(capsys, ["mask", str(low), *again, *given]).out
    moved = elsewhere.rename(tmp_path / "moved.json")
    said = ended(capsys, ["report", "--run", str(reported)], 2).err
    assert f"at {elsewhere}, where it was written; it is not there" in said
    assert "--calibration FILE" in said
    assert run(["report", "--run", str(reported), "--calibration", str(moved), "-q", "--force"]) == 0
    fewer = sorted(str(path) for path in photographs.iterdir())[:5]
    assert run(["calibrate", *fewer, *vendor, "--run", str(tmp_path / "other"), "--out", str(elsewhere), "-q"]) == 0
    assert "another one has been written there since" in ended(capsys, ["report", "--run", str(reported)], 2).err
    (reported / "calibration-elsewhere.json").write_text("[]")
    assert "calibration-elsewhere.json" in ended(capsys, ["report", "--run", str(reported)], 2).err


@pytest.fixture
def annotated(tmp_path):
    truth, delivered = pictures()
    (tmp_path / "photo.png").write_bytes(png(truth))
    (tmp_path / "answer.png").write_bytes(png(delivered))
    for name, levels in (("ana", marked((0, 0, 4, 4))), ("ben", marked((0, 0, 2, 4)))):
        own = tmp_path / "annotations" / PEOPLE / name
        write_annotation(own, truth, delivered, levels, Origin(name, "2026-03-01", "png"))
    return tmp_path / "annotations"


def test_agreement_and_combine(annotated, capsys):
    found = json.loads(ended(capsys, ["annotate", "agreement", str(annotated), "--json"]).out)
    assert found["people"] == ["ana", "ben"]
    assert found["pictures"][0]["overlap"] == 0.5
    assert found["pictures"][0]["name"] is None
    assert 0 < found["krippendorff_alpha"] < 1
    shown = ended(capsys, ["annotate", "combine", str(annotated), "--rule", "max"])
    assert "1 picture in" in shown.out + shown.err
    assert "semantic:annotations=" in shown.out + shown.err
    np.testing.assert_array_equal(read_annotation(annotated, *pictures()), marked((0, 0, 4, 4)))
    assert run(["annotate", "combine", str(annotated), "--annotator", "eva"]) == 2
    assert "expected names of people who marked, ana, ben" in capsys.readouterr().err


def test_export_and_import(annotated, capsys):
    run(["annotate", "combine", str(annotated), "-q"])
    pair = ["--truth", str(annotated.parent / "photo.png"), "--delivered", str(annotated.parent / "answer.png")]
    capsys.readouterr()
    out = annotated.parent / "out"
    assert run(["annotate", "export", str(annotated), "--format", "coco", *pair, "--out", str(out), "--json"]) == 0
    [file] = json.loads(capsys.readouterr().out)["files"]
    again = annotated.parent / "again"
    assert run(["annotate", "import", file, "--format", "coco", *pair, "--folder", str(again)]) == 0
    np.testing.assert_array_equal(read_annotation(again, *pictures()), read_annotation(annotated, *pictures()))
