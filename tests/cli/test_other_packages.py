"""Scores, metrics, guarantees and perturbations of another package, by real processes that find them installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import called_in_new_process
from support.other_package import install, pack
from support.synthetic import photograph, reduced, write_draws, write_photographs

FOLDER = ["--adapter", "folder", "-p", "label=synthetic", "--draws", "3"]
IDEAS = ["--metric", "green", "--guarantee", "careful"]


def command(site, *arguments, code=None):
    """One run of the command line, with `site` on its path."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return called_in_new_process(*map(str, arguments), code=code, PYTHONPATH=path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def scene(site, tmp_path_factory):
    """A folder with photographs, the vendor's outputs, and a calibration that is all of the other package's making."""
    folder = tmp_path_factory.mktemp("scene")
    write_draws(folder / "outputs", range(20), 3)
    write_photographs(folder / "known", range(14))
    write_photographs(folder / "unseen", range(14, 20))
    ideas = ["--score", "spread:power=2", *IDEAS, *FOLDER, "-p", f"path={folder / 'outputs'}"]
    command(site, "calibrate", folder / "known", *ideas, "--run", folder / "run", "--alpha", "0.4", "-q", code=0)
    return folder


def test_a_calibration_says_whose_ideas_it_rests_on_and_works_with_no_other_version(scene, tmp_path):
    found = json.loads((scene / "run" / "calibration.json").read_text())
    assert found["procedure"]["score"] == {"name": "spread", "package": "tiny-ideas 1.0", "power": 2.0}
    assert found["procedure"]["metric"] == {"name": "green", "package": "tiny-ideas 1.0"}
    assert found["guarantee"] == {"name": "careful", "package": "tiny-ideas 1.0"}
    given = ["--calibration", scene / "run" / "calibration.json", "--splits", "5"]
    other = command(install(tmp_path / "newer", "1.1"), "audit", *given, code=2)
    assert "of tiny-ideas 1.0, with which the calibration was made; installed is tiny-ideas 1.1" in other.stderr
    bare = command(tmp_path, "audit", *given, code=2)
    assert "expected the name of a score; got 'spread'" in bare.stderr
    assert "Traceback" not in other.stderr + bare.stderr


def test_masks_audits_and_reports_use_them(site, scene):
    given = ["--calibration", scene / "run" / "calibration.json", "-p", f"path={scene / 'outputs'}"]
    audited = command(site, "audit", scene / "unseen", *given, "--run", scene / "run", "--alpha", "0.4", "--json")
    assert audited.returncode == 0, audited.stderr
    document = json.loads(audited.stdout)
    assert document["quantity"] == (
        "the mean over photographs of the largest trusted error, claimed to be at most half of alpha"
    )
    assert [(one["alpha"], one["claimed"]) for one in document["levels"]] == [(0.4, 0.2)]
    assert document["leakage"] is None

    picture = scene / "p15.png"
    Image.fromarray(reduced(photograph(15), 4)).save(picture)
    masked = command(site, "mask", picture, *given, "--alpha", "0.4", "--out", scene / "masks", "--json", code=0)
    (entry,) = json.loads(masked.stdout)["pictures"]
    said = json.loads(Path(entry["certificate"]).read_text())
    assert said["statement"] == "On average the largest green error is at most half of 0.4 (14 photographs)."
    assert said["theorem"] == "the theorem of expected at half the level"

    command(site, "report", "--run", scene / "run", code=0)
    assert "at most half of" in next((scene / "run").glob("*.html")).read_text()


def test_a_pair_and_tiles_with_their_ideas_state_their_version(site, scene, tmp_path):
    ideas = ["--score", "weighted:first=spread,second=texture", *IDEAS]
    tiles = tmp_path / "tiles.csv"
    tiles.write_text("".join(f"p{index}.png,scene {index // 2}\n" for index in range(14)))
    given = ["--tiles", tiles, *FOLDER, "-p", f"path={scene / 'outputs'}"]
    command(site, "calibrate", scene / "known", *ideas, *given, "--run", tmp_path / "run", code=0)
    calibration = tmp_path / "run" / "calibration.json"
    written = json.loads(calibration.read_text())
    score = written["procedure"]["score"]
    assert (score["first"], score["first_package"], score["second_package"]) == ("spread", "tiny-ideas 1.0", None)
    assert written["guarantee"] == {"name": "careful", "package": "tiny-ideas 1.0"}
    other = command(install(tmp_path / "newer", "1.1"), "audit", "--calibration", calibration, "--splits", "5", code=2)
    assert "of tiny-ideas 1.0, with which the calibration was made; installed is tiny-ideas 1.1" in other.stderr


def test_tune_compares_them_with_ours_unless_others_are_named(site, scene):
    ideas = ["--metric", "green", *FOLDER, "-p", f"path={scene / 'outputs'}"]
    ideas += ["--alpha", "0.6", "--only-choose", "--json"]
    tuned = command(site, "tune", scene / "known", *ideas, "--run", scene / "tuned", code=0)
    scores = [one["score"] for one in json.loads(tuned.stdout)["candidates"]]
    assert "spread@3" in scores
    assert any(one.startswith("bicubic-gap") for one in scores)
    named = ["--candidate", "spread:power=2@3"]
    tuned = command(site, "tune", scene / "known", *ideas, *named, "--run", scene / "named")
    assert [one["score"] for one in json.loads(tuned.stdout)["candidates"]] == ["spread:power=2@3"], tuned.stderr


def test_a_perturbation_of_another_package_varies_the_draws(server, site, scene):
    vendor = ["--adapter", "blackbox_conformal.testing.reference_adapters:SynchronousVendor", "-p", f"url={server.url}"]
    given = ["--draws", "2", "--perturbation", "upside", "--metric", "green", "--score", "spread", "--yes", "-q"]
    command(site, "calibrate", scene / "unseen", *vendor, *given, "--run", scene / "perturbed", code=0)
    found = json.loads((scene / "perturbed" / "calibration.json").read_text())
    assert found["procedure"]["perturbation"] == "upside"
    assert found["procedure"]["perturbation_package"] == "tiny-ideas 1.0"


def test_a_degradation_of_another_package_makes_the_inputs_and_a_calibration_keeps_its_version(site, scene, tmp_path):
    given = ["--score", "pixel-variance", *FOLDER, "-p", f"path={scene / 'outputs'}", "--yes", "-q"]
    chain = ["--degradation", "bicubic+fade:5-20+jpeg:80"]
    command(site, "calibrate", scene / "unseen", *given, *chain, "--run", tmp_path / "faded", code=0)
    kept = json.loads((tmp_path / "faded" / "calibration.json").read_text())["procedure"]["degradation"]
    assert "+fade:levels=5-20,package=tiny-ideas 1.0+" in kept
    calibration = tmp_path / "faded" / "calibration.json"
    audited = ["audit", scene / "known", "--calibration", calibration, "-p", f"path={scene / 'outputs'}", "--yes", "-q"]
    assert command(site, *audited, "--run", tmp_path / "faded").returncode == 0
    other = command(install(tmp_path / "newer", "1.1"), *audited, "--run", tmp_path / "faded", code=2)
    assert "expected degradation fade of tiny-ideas 1.0, with which the calibration was made" in other.stderr


@pytest.mark.parametrize("name", ["tiny_ideas.ideas:Spread", "../spread", "antigravity"])
def test_a_calibration_file_may_name_nothing_to_import(site, scene, tmp_path, name):
    content = json.loads((scene / "run" / "calibration.json").read_text())
    content["procedure"]["score"] = {"name": name}
    (tmp_path / "calibration.json").write_text(json.dumps(content))
    ran = command(site, "audit", "--calibration", tmp_path / "calibration.json", "--splits", "5", code=2)
    assert "Traceback" not in ran.stderr


def test_our_own_names_cannot_be_taken_over_and_broken_ones_hurt_no_other(site):
    code = (
        "import json; from blackbox_conformal.support import catalog;"
        "print(json.dumps([catalog.member('scores', 'texture').__module__,"
        " catalog.member('metrics', 'rgb-l1').__module__, catalog.member('guarantees', 'expected').__module__,"
        " {one.name + ' ' + one.target: one.error for one in catalog.listings('scores') if one.error}]))"
    )
    path = {**os.environ, "PYTHONPATH": str(site)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path, check=True)
    *modules, errors = json.loads(ran.stdout)
    assert modules == [
        "blackbox_conformal.method.scores.texture",
        "blackbox_conformal.method.metrics.rgb_l1",
        "blackbox_conformal.method.guarantees.expected",
    ]
    assert set(errors) == {"texture tiny_ideas.ideas:Spread", "broken there_is_no_such_package.module:Score"}
    assert "already taken by blackbox-conformal" in errors["texture tiny_ideas.ideas:Spread"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "score broken from tiny-ideas 1.0 cannot be used: ModuleNotFoundError"),
        ("wrong", "expected a subclass of Score at tiny_ideas.ideas:Green"),
        ("weighted:first=spread,first-package=tiny-ideas 0.9", "expected score spread of tiny-ideas 0.9"),
        ("spread:powr=2", "score spread: there is no parameter 'powr' (did you mean power?)"),
    ],
)
def test_what_is_wrong_with_one_is_said_by_its_name(site, scene, tmp_path, name, said):
    ideas = ["--score", name, *FOLDER, "-p", f"path={scene / 'outputs'}"]
    ran = command(site, "calibrate", scene / "known", *ideas, "--run", tmp_path, code=2)
    assert said in " ".join(ran.stderr.split())


def test_lists_show_them_and_what_is_wrong_with_broken_ones(site):
    lines = command(site, "list", "scores", code=0).stdout.splitlines()
    assert [line.split(maxsplit=1) for line in lines if line.startswith("spread")] == [
        ["spread", "The range of all values of a pixel over draws and channels."]
    ]
    assert any(line.startswith("broken") and "broken: ModuleNotFoundError" in line for line in lines)
    assert any(line.startswith("wrong") and "expected a subclass of Score" in line for line in lines)
    assert any(line.startswith("texture") and "already taken by blackbox-conformal" in line for line in lines)
    shown = command(site, "list", "scores", "spread", code=0)
    assert "spread (from tiny-ideas 1.0)" in shown.stdout
    assert "power  (float, default 1.0)\n      What the range is raised to." in shown.stdout
    assert command(site, "list", "scores", "broken").returncode == 2
    for kind, name in (
        ("metrics", "green"),
        ("guarantees", "careful"),
        ("perturbations", "upside"),
        ("degradations", "fade"),
    ):
        assert json.loads(command(site, "list", kind, name, "--json", code=0).stdout)["origin"] == "tiny-ideas 1.0"


def test_groups_hold_a_guarantee_of_another_package(site, scene, tmp_path):
    groups = tmp_path / "groups.csv"
    groups.write_text(
        "".join(
            f"{path.name},{'odd' if index % 2 else 'even'}\n"
            for index, path in enumerate(sorted((scene / "known").iterdir()))
        )
    )
    ideas = [*IDEAS, "--score", "spread", *FOLDER, "-p", f"path={scene / 'outputs'}", "--groups", groups]
    command(site, "calibrate", scene / "known", *ideas, "--run", tmp_path / "run", "--alpha", "0.6", "-q", code=0)
    given = ["--calibration", tmp_path / "run" / "calibration.json", "--group", "odd", "--splits", "5", "--json"]
    assert "claimed to be at most half of alpha" in command(site, "audit", *given, code=0).stdout


@pytest.mark.slow
def test_a_wheel_that_pip_installs_into_a_fresh_environment_is_found(tmp_path):
    wheel = pack(install(tmp_path / "source"), tmp_path)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--disable-pip-version-check", wheel]
    subprocess.run(pip, check=True)
    # What this program needs is already here; the fresh environment brings the wheel alone.
    ours = os.pathsep.join(path for path in sys.path if path)
    listed = subprocess.run(
        [python, "-m", "blackbox_conformal", "list", "scores", "spread"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ours},
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    assert "spread (from tiny-ideas 1.0)" in listed.stdout


def test_doctor_names_members_of_other_packages_that_do_not_load(site):
    said = command(site, "doctor").stdout
    assert "Members of other packages that do not load" in said
    documents = json.loads(command(site, "doctor", "--json").stdout)
    broken = {one["subject"]: one["detail"] for one in documents if one["subject"].startswith(("score ", "metric "))}
    assert "there_is_no_such_package" in broken["score broken"]
    assert broken.keys() == {"score broken", "score wrong", "score texture", "metric rgb-l1"}
    assert "guarantee expected" in {one["subject"] for one in documents}
    assert {one["state"] for one in documents if one["subject"] in broken} == {"note"}
