"""The files that run a gateway elsewhere say what the command takes and copy what the package needs."""

import re
import shlex
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from blackbox_conformal.gateway.serve_command import command
from blackbox_conformal.gateway.server import connections_within
from blackbox_conformal.method.kernels import _jit

FOLDER = Path(__file__).parents[2] / "examples" / "serve"


def test_the_unit_gives_options_that_the_command_takes(tmp_path):
    unit = (FOLDER / "blackbox-conformal.service").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    (settings,) = re.findall(r"^Environment=(CALIBRATION=.*)$", unit, re.MULTILINE)
    calibration = tmp_path / "calibration.json"
    calibration.write_text("{}")
    values = dict(word.partition("=")[::2] for word in settings.split()) | {"CALIBRATION": str(calibration)}
    words = shlex.split(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], line))
    assert words[1] == "serve"
    context = command.alone.make_context("serve", words[2:])
    assert (context.params["max_cost"], context.params["log"]) == (50, "json")
    (files,) = re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)
    assert connections_within(int(files), 256) > 1000


def test_the_image_holds_only_files_of_known_hashes_which_the_project_allows():
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    assert "--require-hashes -r requirements.txt" in text
    assert "--no-deps --no-build-isolation ." in text
    locked = re.findall(
        r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", (FOLDER / "requirements.txt").read_text(), re.M
    )
    versions = {name: version for name, version, _ in locked}
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for one in (
        *project["project"]["dependencies"],
        *extras["serve"],
        *extras["sign"],
        *project["build-system"]["requires"],
    ):
        requirement = Requirement(one)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, one


def test_the_image_warms_kernels_up_by_what_the_package_has_and_holds_what_the_wheel_is_made_of():
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    assert re.findall(r"-p (\S+)", text) == ["127.0.0.1:8080:8080"]
    assert "from blackbox_conformal.method.kernels._jit import warm_up" in text
    assert callable(_jit.warm_up)
    ignored = (FOLDER.parents[1] / ".containerignore").read_text(encoding="utf-8").splitlines()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert {f"!{name}" for name in copied} <= set(ignored)
    assert {"pyproject.toml", "README.md", "LICENSE", "blackbox_conformal", "adapters"} <= set(copied)
