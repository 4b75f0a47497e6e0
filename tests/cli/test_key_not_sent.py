"""A server of one's own that asks for a key: which options send it is said wherever it was not sent."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from support.command_line import called
from support.synthetic import photograph, write_photographs

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.study.plugins import adapter_class, adapter_names
from blackbox_conformal.testing.fault_server import FaultServer

KEY = "canary-51ab0c7e"
SENDING = ["-p", "key-header=authorization", "-p", "key-prefix=Bearer "]
CHOICES = ["--metric", "rgb-linf", "--alpha", "0.9", "--max-cost", "1"]


class Desk:
    """A working folder with photographs, the address of a server that asks for a key, and the key in a file."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.vendor = ["-p", f"url={url}/v1/upscale", "-p", "label=workshop", "-p", "price-usd=0.01"]
        write_photographs(folder / "photographs", range(4))
        write_photographs(folder / "others", range(30, 32))
        small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        small.save(folder / "small.png")
        (folder / "key.txt").write_text(KEY)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        files = {"HTTP_VENDOR_KEY_FILE": "key.txt", "XDG_STATE_HOME": str(self.folder / "state")}
        completed = called(*arguments, folder=self.folder, code=code, **files)
        assert KEY not in completed.stdout + completed.stderr
        return completed


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with FaultServer(api_key=KEY) as server:
        yield Desk(tmp_path, server.url)


def after(said: str, command: str) -> list[str]:
    """The command that `said` proposes, ready to paste."""
    (line,) = [line for line in said.splitlines() if f"blackbox-conformal {command} " in line]
    return shlex.split(line.partition("blackbox-conformal ")[2])


def test_what_sends_the_key_is_said_and_goes_from_command_to_command(desk):
    given = ["calibrate", "photographs", "--adapter", "http", *desk.vendor, *CHOICES, "--run", "runs/workshop"]
    said = desk.run(*given, code=5).stderr
    assert "the vendor wants a key, and none was sent (HTTP 401: no such API key)" in said
    proposed = f"Add {shlex.join(SENDING)} to send the key of HTTP_VENDOR_KEY or HTTP_VENDOR_KEY_FILE"
    assert said.endswith(f"{proposed}\n")

    mask = after(desk.run(*given, *SENDING).stdout, "mask")
    assert set(SENDING) <= set(mask)
    audit = after(desk.run(*mask).stdout, "audit")
    audit[1] = "others"
    desk.run(*audit, "--max-cost", "1")

    kept = ["--calibration", "runs/workshop/calibration.json", "--max-cost", "1"]
    for command in (["mask", "small.png", "--alpha", "0.9"], ["audit", "others"], ["watch", "photographs", "--plan"]):
        said = desk.run(*command, *kept, code=2).stderr
        assert f"Add -p url=… -p price-usd=…; if it takes a key, add {shlex.join(SENDING)} too" in said

    (desk.folder / "key.txt").write_text("another")
    said = desk.run(*mask, "--run", "runs/other", "--yes", "--force", code=5).stderr
    assert "refused this key" in said, "a key that was sent was refused"


@pytest.mark.parametrize("name", [name for name in adapter_names() if adapter_class(name).key_parameters])
def test_the_parameters_that_send_the_key_do(name):
    kind = adapter_class(name)
    address = {"url": "http://127.0.0.1:9"}
    assert kind(**address, **kind.key_parameters).key_variable == kind.auth_variable
    assert kind.key_parameters.keys() <= kind.transient, "they say how a vendor is asked, not which"


def test_parameters_are_called_as_they_are_typed(desk):
    given = ["plan", "photographs", "--adapter", "http", "-p", "url=http://127.0.0.1:9"]
    assert "price-usd: expected a number" in desk.run(*given, "-p", "price_usd=cheap", code=2).stderr
    misspelled = desk.run(*given, "-p", "prise_usd=1", code=2).stderr
    assert "there is no parameter 'prise-usd' (did you mean price-usd?)" in misspelled
    assert "-p price-usd is given twice" in desk.run(*given, *["-p", "price_usd=1"] * 2, code=2).stderr


def test_a_key_without_its_word_is_told_and_the_calibration_that_saw_nothing_marks_no_later_one(desk):
    def recipe(prefix: str) -> str:
        (desk.folder / "own.toml").write_text(
            'name = "own"\ntitle = "Own"\ndocumentation = "https://own.example/docs"\nurl = "https://own.example"\n'
            '[scale]\nfactors = [4]\ndefault = 4\n[price]\nlow = "0.01"\nhigh = "0.01"\nsource = "made up"\n'
            f'[auth]\nvariable = "OWN_API_KEY"\nheader = "Authorization"\n{prefix}\n'
            '[submit]\npath = "/v1/upscale"\nbody = true\nquery = { scale = "4" }\n[picture]\nbody = true\n'
            "[example]\n[[example.answers]]\npicture = true\n"
        )
        return "recipe=own.toml"

    url = desk.vendor[1].removesuffix("/v1/upscale")
    choices = ["--metric", "rgb-linf", "--score", "texture", "--max-cost", "1", "--run", "run"]

    def calibrate(prefix: str, *more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        words = ["calibrate", "photographs", "--adapter", "recipe", "-p", recipe(prefix), "-p", url, *choices, *more]
        return called(*words, folder=desk.folder, code=code, OWN_API_KEY=KEY)

    said = calibrate("", code=5).stderr
    assert "no word such as Bearer before it" in said
    assert 'prefix = "Bearer " below [auth] of a recipe' in said
    calibrate('prefix = "Bearer "')
    first = Calibration.load(desk.folder / "run" / "calibration.json")
    assert first.history.notes == (), "the one before it got no answer"
    again = calibrate('prefix = "Bearer "', "--draws", "2", "--out", "again.json").stderr
    assert "1 other calibration of these photographs was begun" in again, "that of one draw has got answers"
