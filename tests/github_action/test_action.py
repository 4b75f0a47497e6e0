"""The steps of the GitHub Action, run as shell against a vendor on a socket and a stand-in of GitHub's API."""

import importlib
import io
import itertools
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from support.command_line import VENDOR, called
from support.forked import run
from support.recording_server import RecordingServer
from support.synthetic import draw, photograph, write_photographs

from blackbox_conformal.testing import fault_vendor
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.pictures import encode, upscale
from blackbox_conformal.testing.raw_http import Head, Response

pytestmark = pytest.mark.usual_promise

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "blackbox-conformal"
DEFINITION = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
TOKEN = "ghs_made_up"
ACCOUNT = 41898282
PULL_REQUEST = 7
NEVER_A_SHELLS = "$(touch pwned); `touch pwned`"
MARKDOWN = MarkdownIt("commonmark").enable("table")
HOSTILE = [
    "@octocat https://evil.example #1 owner/name#2 :tada:",
    "` @octocat [a](https://evil.example) ![b](https://evil.example/p.png) `",
    "`` ` ``` @evil ```",
    "```\n@evil\n```",
    "`",
    "a ` <img src=https://evil.example> <!-- ` --> @evil",
    "\\` @evil \\",
    "&#96; @evil &#96;",
    "\n\n# @evil\n\n- @evil\n\n    @evil",
    "a | @evil | ` |",
    "`" * 999 + "@evil `",
]
PROGRAM = """#!/bin/sh
echo "$1 $FIRST_KEY $SECOND_KEY ${KEYS-unset}" >> "$RUNNER_TEMP/calls"
exec python -IS -c '
import json, os, socket, sys
line = socket.create_connection(("127.0.0.1", PORT))
line.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
line.shutdown(socket.SHUT_WR)
code, out, errors = json.load(line.makefile())
sys.stdout.write(out)
sys.stderr.write(errors)
sys.exit(code)' "$@"
"""


class Program(socketserver.StreamRequestHandler):
    """What `PROGRAM` asks for: the package's command, forked, since a new interpreter works for seconds first."""

    def handle(self) -> None:
        arguments, folder, environment = json.load(self.rfile)
        done = run([sys.executable, "-m", "blackbox_conformal", *arguments], cwd=folder, env=environment)
        self.wfile.write(json.dumps([done.returncode, done.stdout.decode(), done.stderr.decode()]).encode())


@dataclass
class GitHub:
    """The comments of one pull request, of which two pages are there already, and the account that the token is of."""

    url: str = ""
    read_only: bool = False
    comments: list[dict[str, Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        prefix = "/repos/owner/name/issues/"
        assert token == f"Bearer {TOKEN}"
        if path == "/graphql":
            assert (method, body) == ("POST", {"query": "query { viewer { databaseId } }"})
            return 200, {"data": {"viewer": {"databaseId": ACCOUNT}}}
        if method == "GET":
            page = int(re.fullmatch(rf"{prefix}{PULL_REQUEST}/comments\?per_page=100&page=(\d+)", path)[1])  # type: ignore[index]
            return 200, self.comments[100 * (page - 1) : 100 * page]
        if self.read_only:
            return 403, {"message": "Resource not accessible by integration"}
        if method == "POST":
            assert path == f"{prefix}{PULL_REQUEST}/comments"
            self.comments.append(self.comment(body["body"], ACCOUNT))
            return 201, self.comments[-1]
        assert method == "PATCH"
        number = int(path.removeprefix(f"{prefix}comments/"))
        self.comments[number]["body"] = body["body"]
        return 200, self.comments[number]

    def comment(self, body: str | None, account: int) -> dict[str, Any]:
        return {"id": next(self.numbers), "body": body, "user": {"id": account, "type": "Bot"}}

    @property
    def ours(self) -> list[str]:
        return [one["body"] for one in self.comments[120:]]


@contextmanager
def serving(github: GitHub) -> Iterator[GitHub]:
    class Api(RecordingServer):
        def respond(self, head: Head, body: bytes, *_: Any) -> Response:
            given = json.loads(body) if body else None
            status, found = github.answer(head.method, head.target, head.headers["authorization"], given)
            return Response(status, {}, json.dumps(found).encode())

    github.comments += [github.comment(None, 1) for _ in range(120)]
    with Api() as server:
        github.url = server.url
        yield github


def test_the_install_step_runs_no_module_of_the_checkout(tmp_path):
    (install,) = [step["run"] for step in DEFINITION["runs"]["steps"] if step.get("name") == "Install"]
    make = install.partition(" && ")[0]
    for module in ("venv", "logging"):
        (tmp_path / f"{module}.py").write_text("open('ran', 'w').close()\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "VENV": str(tmp_path / "made")}
    # Without pip, which takes seconds.
    subprocess.run(["bash", "-c", f"{make} --without-pip"], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert (tmp_path / "made" / "pyvenv.cfg").is_file()
    assert not (tmp_path / "ran").exists()


@dataclass
class Job:
    passed: bool
    outputs: dict[str, str]
    names: dict[str, str]
    temporary: Path
    summary: str
    log: str


@dataclass
class Runner:
    """A checkout, a vendor, and the steps of the action that are shell; caches and artifacts are GitHub's own."""

    folder: Path
    server: FaultServer
    github: GitHub
    programs: int
    jobs: int = 0

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    def run(self, *, same_job: bool = False, **inputs: str) -> Job:
        self.jobs += not same_job
        temporary = self.folder / f"temporary-{self.jobs}"
        temporary.mkdir(exist_ok=same_job)
        defaults = {name: str(one.get("default", "")) for name, one in DEFINITION["inputs"].items()}
        given = {**defaults, "token": TOKEN, "calibration": "calibration.json", **inputs}
        values = {f"inputs.{name}": value for name, value in given.items()}
        passed, log, summary = True, "", temporary / "summary"
        for number, step in enumerate(one for one in DEFINITION["runs"]["steps"] if "run" in one):
            if step["name"] == "Install":
                program = Path(values["steps.names.outputs.folder"]) / "venv" / "bin" / "blackbox-conformal"
                program.parent.mkdir(parents=True)
                program.write_text(PROGRAM.replace("PORT", str(self.programs)))
                program.chmod(0o755)
                continue
            outputs = temporary / f"outputs-{number}"
            shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
            given = {"env": self.environment(temporary, outputs, summary, step.get("env", {}), values)}
            given |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 120}
            done = subprocess.run(shell, cwd=self.checkout, check=False, **given)
            passed, log = passed and done.returncode == 0, log + done.stdout
            if outputs.exists():
                for line in outputs.read_text().splitlines():
                    name, _, value = line.partition("=")
                    values[f"steps.{step['id']}.outputs.{name}"] = value
            if step["name"] == "Name files" and not passed:
                break
        found = {name: evaluated(one["value"], values) for name, one in DEFINITION["outputs"].items()}
        names = {name: values.get(f"steps.names.outputs.{name}", "") for name in ("name", "cache", "folder", "run")}
        return Job(passed, found, names, temporary, summary.read_text() if summary.exists() else "", log)

    def environment(
        self, temporary: Path, outputs: Path, summary: Path, own: dict[str, str], values: dict[str, str]
    ) -> dict[str, str]:
        event = temporary / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": PULL_REQUEST}}))
        python = temporary / "bin"
        python.mkdir(exist_ok=True)
        if not (python / "python").exists():
            (python / "python").symlink_to(sys.executable)
        github = {"ACTION_PATH": ACTION, "OUTPUT": outputs, "STEP_SUMMARY": summary, "EVENT_PATH": event, "RUN_ID": 1}
        github |= {"API_URL": self.github.url, "GRAPHQL_URL": f"{self.github.url}/graphql", "REPOSITORY": "owner/name"}
        github["SERVER_URL"] = "https://github.example"
        found = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}", "RUNNER_TEMP": str(temporary)}
        found |= {f"GITHUB_{name}": str(value) for name, value in github.items()}
        return found | {name: evaluated(value, values) for name, value in own.items()}

    def audit(self, alpha: str, photographs: str = "unseen", **inputs: str) -> Job:
        given = {"parameters": f"url={self.server.url}\n", "max-cost": "1", "options": f"--adapter\n{VENDOR}", **inputs}
        return self.run(command="audit", photographs=photographs, alpha=alpha, **given)


def evaluated(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values.get(found[1], ""), text)


def coloured(png: bytes, scale: int, seed: int, **more: Any) -> bytes:
    """An answer with one colour added to the whole picture, of which the score knows nothing."""
    with Image.open(io.BytesIO(upscale(png, scale, seed, **more))) as opened:
        pixels = np.asarray(opened).astype(int)
    shift = np.random.default_rng(zlib.crc32(png)).integers(90, 160, 3)
    return encode(np.clip(pixels + shift, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = tmp_path_factory.mktemp("action") / "checkout"
    write_photographs(checkout / "known", range(12))
    write_photographs(checkout / "unseen", range(100, 116))
    settings = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
    with FaultServer() as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "--run", "run"]
        called("calibrate", "known", *vendor, *settings, folder=checkout, code=0)
    shutil.move(checkout / "run" / "calibration.json", checkout / "calibration.json")
    shutil.rmtree(checkout / "run")
    return checkout


@pytest.fixture
def runner(calibrated: Path, tmp_path: Path) -> Iterator[Runner]:
    shutil.copytree(calibrated, tmp_path / "checkout")
    with (
        FaultServer() as server,
        serving(GitHub()) as github,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Program) as programs,
    ):
        threading.Thread(target=programs.serve_forever).start()
        yield Runner(tmp_path, server, github, programs.server_address[1])
        programs.shutdown()


def test_a_second_run_pays_nothing_and_changes_the_one_comment_of_the_token(runner):
    first = runner.audit("0.5")
    assert (first.passed, runner.server.account.paid) == (True, 32), first.log
    assert (first.outputs["verdict"], first.outputs["outcome"]) == ("inconclusive", "neutral")
    assert (first.outputs["calls"], first.outputs["spend"]) == ("32", "0.3200")
    assert "| 0.5 | 0.4" in first.summary
    assert Path(first.outputs["report"]).stat().st_size > 10_000
    # The log is not read as commands while a vendor may speak.
    assert len(re.findall(r"::stop-commands::(\w{32})\n(.*?)\n::\1::", first.log, re.DOTALL)) == 3
    outside = re.sub(r"::stop-commands::(\w{32})\n.*?\n::\1::", "", first.log, flags=re.DOTALL).strip()
    assert outside == "::warning title=blackbox-conformal audit::inconclusive, $0.3200 spent"
    copied = runner.github.comments[3]["body"] = runner.github.ours[0]  # a stranger's, who copied the marker
    second = runner.audit("0.7")
    assert (runner.server.account.paid, runner.github.comments[3]["body"]) == (32, copied)
    assert (second.outputs["verdict"], second.outputs["outcome"]) == ("confirmed", "success")
    assert (second.outputs["calls"], second.outputs["spend"]) == ("0", "0.0000")
    (comment,) = runner.github.ours
    assert "audit: confirmed" in comment
    assert "0 paid calls for $0.0000" in comment
    assert TOKEN not in first.log + second.log
    runner.github.read_only = True
    job = runner.audit("0.5")
    assert job.passed
    assert "::warning::no comment was written: HTTPError 403" in job.log


def test_a_contradiction_fails_the_job_and_says_so(runner, monkeypatch):
    monkeypatch.setattr(fault_vendor, "upscale", coloured)
    job = runner.audit("0.5")
    assert not job.passed
    assert (job.outputs["verdict"], job.outputs["outcome"]) == ("contradicted", "failure")
    assert "audit: contradicted" in runner.github.ours[0]
    assert Path(job.outputs["report"]).is_file()


def test_a_model_of_the_repository_is_audited_by_its_answers_until_it_changed(runner):
    answers, changed = runner.checkout / "outputs", runner.checkout / "changed"
    for folder in (answers, changed):
        folder.mkdir()
    for seed in (*range(12), *range(100, 116)):
        answer = draw(photograph(seed), seed)
        Image.fromarray(answer).save(answers / f"p{seed}.png")
        shift = np.random.default_rng(seed).integers(90, 160, 3)
        Image.fromarray(np.clip(answer + shift, 0, 255).astype(np.uint8)).save(changed / f"p{seed}.png")
    model = ["--adapter", "folder", "-p", "path=outputs", "-p", "label=model", "--metric", "rgb-linf"]
    called("calibrate", "known", *model, "--run", "model", folder=runner.checkout, code=0)
    own = {"command": "audit", "photographs": "unseen", "alpha": "0.5", "calibration": "model/calibration.json"}
    same = runner.run(**own, parameters="path=outputs")
    assert same.passed, same.log
    other = runner.run(**own, parameters="path=changed")
    assert not other.passed
    assert other.outputs["verdict"] == "contradicted", other.log


def test_what_could_not_be_finished_is_neutral(runner):
    runner.server.script = {"submit": ["captive-portal"] * 50}
    job = runner.audit("0.5")
    assert job.passed, job.log
    assert (job.outputs["verdict"], job.outputs["outcome"]) == ("incomplete", "neutral")
    assert "audit: incomplete" in runner.github.ours[0]


def test_a_budget_that_is_too_small_fails_and_spends_nothing(runner):
    job = runner.audit("0.5", **{"max-cost": "0.05"})
    assert not job.passed
    assert (job.outputs["verdict"], job.outputs["outcome"]) == ("failed", "failure")
    assert runner.server.account.paid == 0


def test_a_watch_is_green_until_the_vendor_changes(runner):
    known = {"command": "watch", "photographs": "known", "parameters": f"url={runner.server.url}", "max-cost": "1"}
    known["options"] = f"--adapter\n{VENDOR}\n--canaries\n2"
    first = runner.run(**known)
    assert first.passed, first.log
    assert (first.outputs["verdict"], first.outputs["outcome"]) == ("watched", "success")
    assert (runner.checkout / "calibration.watch.sqlite").is_file(), "the file that the cache keeps"
    assert Path(first.outputs["report"]).is_file()
    runner.server.script = {"submit": "picture:kind=flatter-and-brighter"}
    changed = runner.run(**known)
    assert not changed.passed
    assert (changed.outputs["verdict"], changed.outputs["outcome"]) == ("suspended", "failure")
    (comment,) = runner.github.ours
    assert "watch: suspended" in comment


def test_inputs_are_words_and_never_shell(runner):
    job = runner.audit(NEVER_A_SHELLS, f"{NEVER_A_SHELLS}\n-x", **{"max-cost": NEVER_A_SHELLS})
    assert not job.passed
    assert job.outputs["outcome"] == "failure"
    assert not list(runner.folder.rglob("pwned"))
    wrong = runner.run(command=NEVER_A_SHELLS)
    assert not wrong.passed
    assert "expected the input command to be audit or watch" in wrong.log


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_stranger_wrote_is_nothing_but_code_in_the_comment(text, monkeypatch):
    monkeypatch.syspath_prepend(ACTION)
    measure = importlib.import_module("measure")
    values = {"CALIBRATION": text, "GITHUB_SERVER_URL": "https://github.example"}
    for name in ("COMMAND", "CALIBRATION", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"):
        monkeypatch.setenv(name, values.get(name, "audit"))
    finding = {"layer": "canaries", "verdict": "changed", "statement": text}
    said = measure.text_of("failed", {"findings": [finding], "error": {"message": text}}, "0.0000", "0")
    shown = [token for block in MARKDOWN.parse(said) for token in block.children or [block]]
    assert [token.content for token in shown if token.type == "code_inline"] == [" ".join(text.split())[:1000]] * 3
    assert [token.attrGet("href") for token in shown if token.type == "link_open"] == [
        "https://github.example/audit/actions/runs/audit"
    ]
    assert not [token for token in shown if token.type in ("image", "html_inline", "html_block", "fence", "code_block")]
    outside = " ".join(token.content for token in shown if token.type == "text")
    assert "@" not in outside
    assert "evil" not in outside


def test_a_key_is_seen_by_the_paid_command_alone(runner):
    job = runner.audit("0.5", keys=f"  FIRST_KEY=a=b \n\nSECOND_KEY={TOKEN}\nA_FORKS=")
    assert job.passed, job.log
    calls = (job.temporary / "calls").read_text().splitlines()
    assert calls == [f"audit a=b {TOKEN} unset", "ledger   unset", "report   unset"]
    assert [step.get("name") for step in DEFINITION["runs"]["steps"] if "inputs.keys" in str(step)] == ["Measure"]
    wrong = runner.audit("0.5", keys=TOKEN)
    assert not wrong.passed
    assert "expected every line of the input keys to be NAME=VALUE" in wrong.log
    assert TOKEN not in wrong.log


def test_two_uses_have_each_their_own_comment_artifact_cache_and_run_folder(runner):
    shutil.copy(runner.checkout / "calibration.json", runner.checkout / "other.json")
    jobs = [runner.audit("0.5"), runner.audit("0.7", calibration="other.json"), runner.audit("0.7", name="strict")]
    assert [len(set(each)) for each in zip(*(job.names.values() for job in jobs), strict=True)] == [3, 3, 3, 3]
    assert {path.name for path in (runner.checkout / ".blackbox-conformal").iterdir()} == {
        Path(job.names["run"]).name for job in jobs
    }
    first, second, third = runner.github.ours
    assert "audit: inconclusive" in first
    assert "other.json" in second
    assert third.startswith("<!-- blackbox-conformal-strict -->")
    again = runner.run(same_job=True, command="audit", name="strict")
    assert not again.passed
    assert "expected a name of its own for each use in a job; 'strict' was used. Add: name: strict-2" in again.log
    bad = runner.run(command="audit", name="a/../b")
    assert "expected the input name to have up to 60 letters, digits, _ and -; got 'a/../b'" in bad.log


def test_every_action_is_named_by_the_hash_of_a_commit():
    files = [ACTION / "action.yml", *(ACTION.parents[1] / "workflows").glob("*.yml")]
    used = [action for file in files for action in re.findall(r"uses: (.+)", file.read_text(encoding="utf-8"))]
    assert len(used) > len(files)
    for action in used:
        assert re.fullmatch(r"(actions|github|ossf|pypa)/[a-z/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_no_script_has_an_expression_in_it():
    for step in DEFINITION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
