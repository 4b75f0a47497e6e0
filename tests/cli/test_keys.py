"""Where keys go: shown and asked the first time; only to addresses that the user named; never unencrypted unasked."""

import base64
import json
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from support import forked
from support.command_line import VENDOR, called
from support.recording_server import RecordingServer
from support.synthetic import photograph, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.pages.viewer.view_command import browser
from blackbox_conformal.study.plugins import adapter_class, adapter_names, load_adapter
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Adapter, Capabilities, Draw, Flow, Send, Upload

KEY = "canary-7d01c9"
ENCODED = [
    base64.b64encode(KEY.encode()).decode(),
    base64.b64encode(f"someone:{KEY}".encode()).decode(),
    KEY.encode().hex(),
    "".join(f"%{byte:02X}" for byte in KEY.encode()),
]
RECIPE = """
name = "acme"
title = "Acme"
documentation = "https://acme.example/docs"
url = "{url}"
[auth]
variable = "ACME_API_KEY"
header = "X-Key"
[scale]
factors = [4]
default = 4
[price]
low = "0.01"
high = "0.01"
source = "nowhere"
[submit]
path = "/enlarge"
file = "image"
[picture]
body = true
[errors]
message = ["error"]
request_id_header = "x-request-id"
[[example.answers]]
picture = true
"""


REFUSED = Response(
    403,
    {"X-Request-Id": base64.b64encode(f"id:{KEY}".encode()).decode()},
    json.dumps({"error": f"no {ENCODED}"}).encode(),
)


@pytest.fixture
def vendor() -> Iterator[RecordingServer]:
    """A server that notes what it is sent, and refuses its key."""
    with RecordingServer(lambda head: REFUSED) as server:
        yield server


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ACME_API_KEY", KEY)
    monkeypatch.setenv("ACME_SECRET_API_KEY", KEY)
    monkeypatch.setenv("FAULT_VENDOR_KEY", KEY)
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)


def calibrate(*more: str) -> list[str]:
    return ["calibrate", "photographs", "--draws", "2", "--run", "run", "--concurrency", "1", "-q", *more]


def by_recipe(url: str) -> list[str]:
    Path("acme.toml").write_text(RECIPE.format(url=url))
    return calibrate("--adapter", "recipe", "-p", "recipe=acme.toml")


def error(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert KEY not in err
    return err


@pytest.mark.parametrize("agreed", [(), ("--yes",), ("--max-cost", "9")])
def test_a_recipes_own_address_is_asked_and_never_taken_for_granted(vendor, agreed, capsys):
    assert run([*by_recipe(vendor.url), *agreed]) == 2
    said = error(capsys)
    assert f"ACME_API_KEY goes to {vendor.url} (adapter recipe) for the first time" in said
    assert f"add -p url={vendor.url} --yes" in said
    assert vendor.asked == []
    assert run([*by_recipe(vendor.url), "-p", f"url={vendor.url}", "--yes"]) == 5
    assert {request.head.headers["x-key"] for request in vendor.asked} == {KEY}
    # Agreed to once, by this user: no question any more.
    assert run([*by_recipe(vendor.url), "--run", "other", "--yes"]) == 5
    assert run([*by_recipe(vendor.url), "-p", "url=http://127.0.0.1:9", "--run", "third"]) == 2


def test_another_host_that_gives_tokens_is_asked_about_too(vendor, capsys):
    command = by_recipe(vendor.url)
    token = '[token]\npath = "https://login.acme.example/token"\nform = { secret = "{auth.secret}" }\n[scale]'
    text = Path("acme.toml").read_text().replace("[scale]", token)
    Path("acme.toml").write_text(text.replace("[token]", 'secret_variable = "ACME_SECRET_API_KEY"\n[token]', 1))
    folder = Path(os.environ["XDG_STATE_HOME"]) / "blackbox-conformal"
    folder.mkdir(parents=True)
    digest = load_adapter("recipe", recipe="acme.toml").identity()["parameters"]["recipe_digest"]
    (folder / "keys").write_text(f"ACME_API_KEY ACME_SECRET_API_KEY recipe {vendor.url} {digest}\n")
    assert run([*command, "--yes"]) == 2
    said = error(capsys)
    assert "ACME_API_KEY and ACME_SECRET_API_KEY go to https://login.acme.example (adapter recipe) for the" in said
    assert "run the same command once at a terminal" in said
    assert vendor.asked == []


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 4), (b"y\n", None)])
def test_at_a_terminal_the_address_is_shown_and_asked(vendor, answer, code):
    terminal, other_end = pty.openpty()
    try:
        command = [sys.executable, "-m", "blackbox_conformal", *by_recipe(vendor.url), "--yes"]
        os.write(terminal, answer)
        loud = [word for word in command if word != "-q"]
        found = forked.run(loud, stdin=other_end, text=True)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert f"ACME_API_KEY goes to {vendor.url} (adapter recipe), for the first time" in found.stderr
    assert "Send it there?" in found.stderr
    assert KEY not in found.stderr
    assert code in (None, found.returncode)
    assert {request.head.headers["x-key"] for request in vendor.asked} == ({KEY} if code is None else set())


def test_what_was_agreed_is_kept_for_the_user_alone_and_holds_no_key(vendor):
    run([*by_recipe(vendor.url), "-p", f"url={vendor.url}", "--yes"])
    folder = Path(os.environ["XDG_STATE_HOME"]) / "blackbox-conformal"
    agreed = (folder / "keys").read_text()
    assert re.fullmatch(rf"ACME_API_KEY recipe {vendor.url} sha256:[0-9a-f]{{64}}\n", agreed)
    assert KEY not in agreed
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_address_that_was_typed_needs_a_yes_and_no_more(server, capsys):
    keyed = calibrate("--adapter", VENDOR, "-p", f"url={server.url}", "-p", "keyed=true")
    assert run(keyed) == 2
    said = error(capsys)
    assert f"FAULT_VENDOR_KEY goes to {server.url} (adapter fault-synchronous) for the first time" in said
    assert said.rstrip().endswith("add --yes")
    assert server.account.recorded == []
    assert run([*keyed, "--max-cost", "1"]) == 0
    assert server.account.paid == 4


def test_no_key_no_question(server):
    assert run(calibrate("--adapter", VENDOR, "-p", f"url={server.url}", "--max-cost", "1")) == 0
    assert run([*calibrate("--adapter", VENDOR, "-p", f"url={server.url}", "-p", "keyed=true")]) == 0
    assert not (Path(os.environ["XDG_STATE_HOME"]) / "blackbox-conformal" / "keys").exists()


def test_a_file_that_names_the_address_does_not_agree_to_it(server, capsys):
    Path("blackbox-conformal.toml").write_text(f'max-cost = 5\n[p]\nurl = "{server.url}"\nkeyed = "true"\n')
    command = calibrate("--adapter", VENDOR)
    for agreed in ([], ["--yes"], ["--max-cost", "5"]):
        assert run([*command, *agreed]) == 2
        said = error(capsys)
        assert f"FAULT_VENDOR_KEY goes to {server.url} (adapter fault-synchronous) for the first time" in said
        assert f", as p in {Path.cwd() / 'blackbox-conformal.toml'} says, and there is no terminal" in said
        assert said.rstrip().endswith(f"add -p url={server.url} -p keyed=true --yes")
        assert server.account.recorded == []
    assert run([*command, *shlex.split(said.partition(", add ")[2])]) == 0


def cloned(url: str) -> list[str]:
    """A stranger's project, whose settings send a known vendor's key to him; the command that its page tells."""
    Path("r.toml").write_text(RECIPE.format(url="https://acme.example").replace("ACME_API_KEY", "REPLICATE_API_TOKEN"))
    Path("blackbox-conformal.toml").write_text(
        f'adapter = "recipe"\n[p]\nrecipe = "r.toml"\nurl = "{url}"\nlabel = "acme"\nprice-usd = "0.01"\n'
    )
    return ["calibrate", "photographs", "-q", "--run", "run"]


@pytest.mark.parametrize("agreed", [(), ("--max-cost", "5"), ("--yes",)])
def test_a_cloned_project_sends_no_key_to_a_stranger(vendor, agreed, capsys):
    command = cloned(vendor.url)
    assert run([*command, *agreed]) == 2
    said = error(capsys)
    assert f"REPLICATE_API_TOKEN goes to {vendor.url} (adapter recipe) for the first time, as p in " in said
    typed = f"--adapter recipe -p recipe=r.toml -p url={vendor.url} -p label=acme -p price-usd=0.01 --yes"
    assert said.rstrip().endswith(f"if that is right, add {typed}")
    assert vendor.asked == []
    assert not (Path(os.environ["XDG_STATE_HOME"]) / "blackbox-conformal" / "keys").exists()
    # Pasted, it is the user's own word.
    assert run([*command, *shlex.split(typed)]) == 5
    assert {request.head.headers["x-key"] for request in vendor.asked} == {KEY}


def test_an_adapter_of_a_project_takes_no_key_to_a_typed_address(server, monkeypatch, capsys):
    monkeypatch.setenv("HTTP_VENDOR_KEY", KEY)
    Path("blackbox-conformal.toml").write_text('adapter = "http"\n')
    assert run(calibrate("-p", f"url={server.url}", "-p", "key-header=x-key", "--yes")) == 2
    assert error(capsys).rstrip().endswith("add --adapter http --yes")
    assert server.account.recorded == []


@pytest.mark.parametrize("where", ["environment", "own file"])
def test_the_environment_and_the_users_own_file_name_an_address(server, where, monkeypatch):
    if where == "environment":
        monkeypatch.setenv("BLACKBOX_CONFORMAL_P", f"url={server.url} keyed=true")
    else:
        own = Path("home") / "blackbox-conformal" / "config.toml"
        own.parent.mkdir(parents=True)
        own.write_text(f'[p]\nurl = "{server.url}"\nkeyed = "true"\n')
    assert run(calibrate("--adapter", VENDOR, "--yes")) == 0
    assert server.account.paid == 4


def test_a_vendor_of_a_comparison_that_a_project_names_is_not_named_by_the_user(server, capsys):
    Path("r.toml").write_text(RECIPE.format(url="https://acme.example"))
    theirs = [f"recipe:recipe=r.toml,url={server.url},label={label}" for label in ("one", "two")]
    Path("blackbox-conformal.toml").write_text(f"[compare]\nvendor = {theirs}\n")
    write_photographs(Path("photographs"), range(2, 6))
    assert run(["compare", "photographs", "-q", "--yes"]) == 2
    assert error(capsys).rstrip().endswith(f"add --vendor {theirs[0]} --vendor {theirs[1]} --yes")
    assert server.account.recorded == []


def test_a_recipe_that_was_changed_is_asked_about_again(vendor, capsys):
    assert run([*by_recipe(vendor.url), "-p", f"url={vendor.url}", "--yes"]) == 5
    capsys.readouterr()
    assert run([*by_recipe(vendor.url), "--run", "second", "--yes"]) == 5
    capsys.readouterr()
    asked = len(vendor.asked)
    changed = by_recipe(vendor.url)
    Path("acme.toml").write_text(Path("acme.toml").read_text().replace("X-Key", "X-Other-Key"))
    assert run([*changed, "--run", "third", "--yes"]) == 2
    assert "ACME_API_KEY goes to" in error(capsys)
    assert len(vendor.asked) == asked


def test_a_vendors_own_address_is_shown_and_letters_of_another_script_as_they_are_asked_for(capsys):
    model = ("-p", "model=recraft-ai/recraft-crisp-upscale")
    assert run(calibrate("--adapter", "replicate", *model, "--perturbation", "dihedral")) == 2
    said = error(capsys)
    assert "REPLICATE_API_TOKEN goes to https://api.replicate.com (adapter replicate) for the first time" in said
    assert said.rstrip().endswith("add --yes")
    assert run([*by_recipe("https://\u0430cme.example"), "--yes"]) == 2
    said = error(capsys)
    assert "goes to https://xn--cme-5cd.example (adapter" in said
    assert "add -p url=https://xn--cme-5cd.example --yes" in said


def test_a_price_is_asked_only_where_the_key_may_go(server, capsys):
    plan = ["plan", "photographs", "--quote", "-q", "--adapter", VENDOR]
    plan += ["-p", f"url={server.url}", "-p", "keyed=true"]
    assert run(plan) == 2
    assert "FAULT_VENDOR_KEY goes to" in error(capsys)
    assert server.account.recorded == []
    assert run([*plan, "--yes"]) == 0


def test_a_second_vendor_and_each_of_a_comparison_are_asked_about(server, vendor, capsys):
    Path("acme.toml").write_text(RECIPE.format(url=vendor.url))
    write_photographs(Path("photographs"), range(2, 6))
    ours = f"{VENDOR}:url={server.url},keyed=true,draws=2"
    compare = ["compare", "photographs", "-q", "--vendor", ours, "--vendor", "recipe:recipe=acme.toml"]
    assert run([*compare, "--draws", "2", "--yes"]) == 2
    assert "ACME_API_KEY goes to" in error(capsys)
    assert (server.account.recorded, vendor.asked) == ([], [])
    Path("acme.toml").write_text(RECIPE.format(url=vendor.url))
    ours = calibrate("--adapter", VENDOR, "-p", f"url={server.url}", "--score", "second-opinion", "--yes")
    assert run([*ours, "--second-adapter", "recipe", "--second", "recipe=acme.toml"]) == 2
    assert "ACME_API_KEY goes to" in error(capsys)
    assert (server.account.recorded, vendor.asked) == ([], [])


def test_a_calibrations_vendor_is_asked_about_as_well(server, capsys):
    write_photographs(Path("others"), range(20, 22))
    common = ["--adapter", VENDOR, "-p", f"url={server.url}", "-p", "keyed=true", "--run", "run", "-q"]
    assert run([*calibrate(*common), "--yes"]) == 0
    (Path(os.environ["XDG_STATE_HOME"]) / "blackbox-conformal" / "keys").unlink()
    paid = server.account.paid
    for command in ("audit", "mask"):
        more = [command, "others", *common, "--calibration", "run/calibration.json", "--alpha", "0.99"]
        assert run(more) == 2
        assert "FAULT_VENDOR_KEY goes to" in error(capsys)
    assert server.account.paid == paid


class Elsewhere(Adapter):
    """A vendor whose host is a parameter of its own."""

    name = "elsewhere"
    auth_variable = "ELSEWHERE_API_KEY"
    endpoint: str = "api.elsewhere.example"
    model: str = "m"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(scale_factors=(4,))

    @property
    def base_url(self) -> str:
        return f"https://{self.endpoint}/v1"

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield Send("POST", self.base_url, "submit", headers={"x-key": self.credential()})
        return b""


class Fixed(Elsewhere):
    """A vendor with one address."""

    name = "fixed"

    @property
    def base_url(self) -> str:
        return "https://api.fixed.example"


def test_only_code_fixes_an_address(monkeypatch, capsys):
    monkeypatch.setenv("ELSEWHERE_API_KEY", KEY)
    assert Fixed().fixed_url == "https://api.fixed.example"
    assert Elsewhere().fixed_url == ""
    command = calibrate("--adapter", f"{__name__}:Elsewhere", "--yes")
    assert run(command) == 2
    assert "run the same command once at a terminal" in error(capsys)


def test_a_key_that_comes_back_in_another_form_is_kept_and_shown_nowhere(vendor, capsys):
    command = [*by_recipe(vendor.url), "-p", f"url={vendor.url}", "--yes", "-vv"]
    assert run([word for word in command if word != "-q"]) == 5
    said = "".join(capsys.readouterr())
    assert "no [" in said
    kept = b"".join(path.read_bytes() for path in Path("run").rglob("*") if path.is_file())
    assert b"no [" in kept
    for form in (KEY, *ENCODED, ENCODED[1][-12:-4]):
        assert form not in said
        assert form.encode() not in kept


def test_no_key_goes_unencrypted_to_another_machine(capsys):
    url = "http://192.0.2.2:9932"
    assert run([*by_recipe(url), "-p", f"url={url}", "--yes"]) == 2
    said = error(capsys)
    assert f"ACME_API_KEY goes to {url} (adapter recipe) unencrypted" in said
    assert "--insecure-http" in said


def test_show_and_check_tell_where_a_recipes_key_goes(capsys):
    by_recipe("https://api.acme.example/v1")
    assert run(["list", "adapters", "recipe", "-p", "recipe=acme.toml"]) == 0
    assert "environment variable ACME_API_KEY, sent to https://api.acme.example\n" in capsys.readouterr().out
    assert run(["list", "adapters", VENDOR, "-p", "url=http://127.0.0.1:9"]) == 0
    assert "key            none is sent" in capsys.readouterr().out
    assert run(["list", "adapters", "http", "-p", "key-header=x-key"]) == 0
    assert "environment variable HTTP_VENDOR_KEY, sent to the address given\n" in capsys.readouterr().out
    assert run(["adapters", "check", "recipe", "-p", "recipe=acme.toml"]) == 0
    assert "key: environment variable ACME_API_KEY, sent to https://api.acme.example\n" in capsys.readouterr().out


OWN_KEY = "canary-51ab0c7e"
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
        (folder / "key.txt").write_text(OWN_KEY)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        files = {"HTTP_VENDOR_KEY_FILE": "key.txt", "XDG_STATE_HOME": str(self.folder / "state")}
        completed = called(*arguments, folder=self.folder, code=code, **files)
        assert OWN_KEY not in completed.stdout + completed.stderr
        return completed


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with FaultServer(api_key=OWN_KEY) as server:
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
        return called(*words, folder=desk.folder, code=code, OWN_API_KEY=OWN_KEY)

    said = calibrate("", code=5).stderr
    assert "no word such as Bearer before it" in said
    assert 'prefix = "Bearer " below [auth] of a recipe' in said
    calibrate('prefix = "Bearer "')
    first = Calibration.load(desk.folder / "run" / "calibration.json")
    assert first.history.notes == (), "the one before it got no answer"
    again = calibrate('prefix = "Bearer "', "--draws", "2", "--out", "again.json").stderr
    assert "1 other calibration of these photographs was begun" in again, "that of one draw has got answers"


def test_the_link_is_in_a_private_file_and_in_no_words_of_a_program(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr("webbrowser.open", asked.append)
    with browser() as shown_by:
        shown_by.open("http://127.0.0.1:1/secret/?a=1&b")
        (path,) = tmp_path.glob("*/open-*.html")
        assert path.stat().st_mode & 0o077 == 0
        assert "url=http://127.0.0.1:1/secret/?a=1&amp;b" in path.read_text()
        for _ in range(200):
            if asked:
                break
            time.sleep(0.01)
        assert asked == [path.as_uri()]
        assert "secret" not in asked[0]
    assert not path.exists()


def test_nothing_is_opened_where_no_folder_is_private(tmp_path, monkeypatch):
    (tmp_path / "blackbox-conformal").mkdir()
    (tmp_path / "blackbox-conformal").chmod(0o777)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("webbrowser.open", lambda _: 1 / 0)
    with browser() as shown_by:
        shown_by.open("http://127.0.0.1:1/secret/")
    assert not list(tmp_path.glob("*/open-*"))
