"""The commands on the page of tasks: each names what exists, and sets up a calibration at scale 1."""

import re
import shlex
from pathlib import Path

import pytest

import blackbox_conformal as bc
from blackbox_conformal.cli.values import vendor_parameters
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.defaults import DEFAULT_DRAWS
from blackbox_conformal.study.stages.settings import set_up

pytestmark = pytest.mark.usual_promise

PAGE = Path(bc.__file__).parent / "docs" / "tasks.md"
COMMANDS = re.findall(r"^(blackbox-conformal calibrate .+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_task_has_commands() -> None:
    assert len(COMMANDS) >= 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_sets_up_a_calibration_at_scale_1(command: str) -> None:
    words = shlex.split(command)[3:]
    options: dict[str, str] = {}
    parameters = []
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "-p":
            parameters.append(value)
        else:
            options[name.removeprefix("--")] = value
    adapter = load_adapter(options.pop("adapter"), **vendor_parameters(tuple(parameters)))
    draws = int(options.pop("draws", DEFAULT_DRAWS))
    setup = set_up(adapter, draws=draws, perturbation=options.pop("perturbation", None), **options)  # type: ignore[arg-type]
    assert setup.procedure.scale == 1
    assert setup.procedure.mixture.text != "bicubic"
