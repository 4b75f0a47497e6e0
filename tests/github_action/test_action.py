"""The steps of the GitHub Action, run as shell against a vendor on a socket and a stand-in of GitHub's API."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.command_line import VENDOR, called
from support.synthetic import write_photographs

from blackbox_conformal.testing import fault_vendor
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.pictures import encode, upscale

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "blackbox-conformal"
DEFINITION = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
TOKEN = "ghs_made_up"
PULL_REQUEST = 7
NEVER_A_SHELLS = "$(touch pwned); `touch pwned`"


@dataclass
class GitHub:
    """The comments of one pull request; two pages of them are there already."""

    url: str = ""
    read_only: bool = False
    comments: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        prefix = "/repos/owner/name/issues/"
        assert token == f"Bearer {TOKEN}"
        if method == "GET":
            page = int(re.fullmatch(rf"{prefix}{PULL_REQUEST}/comments\?per_page=100&page=(\d+)", path)[1])  # type: ignore[index]
            return 200, self.comments[100 * (page - 1) : 100 * page]
        if self.read_only:
            return 403, {"message": "Resource not accessible by integration"}
        if method == "POST":
            assert path == f"{prefix}{PULL_REQUEST}/comments"
            self.comments.append(self.comment(body["body"], "Bot"))
            return 201, self.comments[-1]
        assert method == "PATCH"
        number = int(path.removeprefix(f"{prefix}comments/"))
        self.comments[number]["body"] = body["body"]
        return 200, self.comments[number]

    def comment(self, body: str | None, kind: str) -> dict[str, Any]:
        return {"id": len(self.comments), "body": body, "user": {"type": kind}}

    @property
    def ours(self) -> list[str]:
        return [one["body"] for one in self.comments[120:]]


@contextmanager
def serving(github: GitHub) -> Iterator[GitHub]:
    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers["Authorization"]
            status, found = github.answer(self.command, self.path, token, json.loads(content) if content else None)
            sent = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = reply  # noqa: N815 - the names that the server calls

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    github.url = f"http://127.0.0.1:{server.server_port}"
    for _ in range(120):
        github.comments.append(github.comment(None, "User"))
    try:
        yield github
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Job:
    """What a job on a runner left behind."""

    passed: bool
    outputs: dict[str, str]
    summary: str
    log: str


@dataclass
class Runner:
    """A checkout, a vendor, and the steps of the action that are shell; caches and artifacts are GitHub's own."""

    folder: Path
    server: FaultServer
    github: GitHub
    jobs: int = 0

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    def run(self, **inputs: str) -> Job:
        self.jobs += 1
        temporary = self.folder / f"temporary-{self.jobs}"
        temporary.mkdir()
        defaults = {name: str(one.get("default", "")) for name, one in DEFINITION["inputs"].items()}
        given = {**defaults, "token": TOKEN, "calibration": "calibration.json", **inputs}
        values = {f"inputs.{name}": value for name, value in given.items()}
        passed, log, summary = True, "", temporary / "summary"
        for number, step in enumerate(one for one in DEFINITION["runs"]["steps"] if "run" in one):
            if step["name"] == "Install":
                program = Path(values["steps.names.outputs.folder"]) / "venv" / "bin" / "blackbox-conformal"
                program.parent.mkdir(parents=True)
                program.write_text(f'#!/bin/sh\nexec {sys.executable} -m blackbox_conformal "$@"\n')
                program.chmod(0o755)
                continue
            outputs = temporary / f"outputs-{number}"
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
                env=self.environment(temporary, outputs, summary, step.get("env", {}), values),
                cwd=self.checkout,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            passed, log = passed and done.returncode == 0, log + done.stdout
            if outputs.exists():
                for line in outputs.read_text().splitlines():
                    name, _, value = line.partition("=")
                    values[f"steps.{step['id']}.outputs.{name}"] = value
            if step["name"] == "Name files" and not passed:
                break
        found = {name: evaluated(one["value"], values) for name, one in DEFINITION["outputs"].items()}
        return Job(passed, found, summary.read_text() if summary.exists() else "", log)

    def environment(
        self, temporary: Path, outputs: Path, summary: Path, own: dict[str, str], values: dict[str, str]
    ) -> dict[str, str]:
        event = temporary / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": PULL_REQUEST}}))
        python = temporary / "bin"
        python.mkdir(exist_ok=True)
        if not (python / "python").exists():
            (python / "python").symlink_to(sys.executable)
        return {
            **os.environ,
            "PATH": f"{python}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(temporary),
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_API_URL": self.github.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_RUN_ID": "1",
            **{name: evaluated(value, values) for name, value in own.items()},
        }

    def audit(self, alpha: str, photographs: str = "unseen", **inputs: str) -> Job:
        return self.run(
            command="audit",
            photographs=photographs,
            alpha=alpha,
            parameters=f"url={self.server.url}\n",
            options=f"--adapter\n{VENDOR}",
            **{"max-cost": "1", **inputs},
        )


def evaluated(text: str, values: dict[str, str]) -> str:
    """`text` with every expression replaced by its value."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values.get(found[1], ""), text)


def coloured(png: bytes, scale: int, seed: int, **more: Any) -> bytes:
    """An answer with one colour added to the whole picture, of which the score knows nothing."""
    with Image.open(io.BytesIO(upscale(png, scale, seed, **more))) as opened:
        pixels = np.asarray(opened).astype(int)
    shift = np.random.default_rng(zlib.crc32(png)).integers(90, 160, 3)
    return encode(np.clip(pixels + shift, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a calibration and photographs."""
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
    with FaultServer() as server, serving(GitHub()) as github:
        yield Runner(tmp_path, server, github)


def test_a_second_run_pays_nothing_and_there_is_one_comment(runner: Runner) -> None:
    first = runner.audit("0.5")
    paid = runner.server.account.paid
    assert paid == 32
    assert first.passed, first.log
    assert (first.outputs["verdict"], first.outputs["outcome"]) == ("inconclusive", "neutral")
    assert (first.outputs["calls"], first.outputs["spend"]) == ("32", "0.3200")
    assert "::warning title=blackbox-conformal audit::inconclusive, $0.3200 spent" in first.log
    assert "| 0.5 | 0.4" in first.summary
    assert Path(first.outputs["report"]).stat().st_size > 10_000
    second = runner.audit("0.7")
    assert runner.server.account.paid == paid
    assert (second.outputs["verdict"], second.outputs["outcome"]) == ("confirmed", "success")
    assert (second.outputs["calls"], second.outputs["spend"]) == ("0", "0.0000")
    (comment,) = runner.github.ours
    assert "audit: confirmed" in comment
    assert "0 paid calls for $0.0000" in comment
    assert TOKEN not in first.log + second.log


def test_a_contradiction_fails_the_job_and_says_so(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_vendor, "upscale", coloured)
    job = runner.audit("0.5")
    assert not job.passed
    assert (job.outputs["verdict"], job.outputs["outcome"]) == ("contradicted", "failure")
    assert "audit: contradicted" in runner.github.ours[0]
    assert Path(job.outputs["report"]).is_file()


def test_what_could_not_be_finished_is_neutral(runner: Runner) -> None:
    runner.server.script = {"submit": ["captive-portal"] * 50}
    job = runner.audit("0.5")
    assert job.passed, job.log
    assert (job.outputs["verdict"], job.outputs["outcome"]) == ("incomplete", "neutral")
    assert "audit: incomplete" in runner.github.ours[0]


def test_a_budget_that_is_too_small_fails_and_spends_nothing(runner: Runner) -> None:
    job = runner.audit("0.5", **{"max-cost": "0.05"})
    assert not job.passed
    assert (job.outputs["verdict"], job.outputs["outcome"]) == ("failed", "failure")
    assert runner.server.account.paid == 0


def test_a_watch_is_green_until_the_vendor_changes(runner: Runner) -> None:
    known = {
        "command": "watch",
        "photographs": "known",
        "parameters": f"url={runner.server.url}",
        "max-cost": "1",
        "options": f"--adapter\n{VENDOR}\n--canaries\n2",
    }
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


def test_inputs_are_words_and_never_shell(runner: Runner) -> None:
    job = runner.audit(NEVER_A_SHELLS, f"{NEVER_A_SHELLS}\n-x", **{"max-cost": NEVER_A_SHELLS})
    assert not job.passed
    assert job.outputs["outcome"] == "failure"
    assert not list(runner.folder.rglob("pwned"))
    assert "$(touch" not in "".join(runner.github.ours), "what a stranger wrote is no markup"
    wrong = runner.run(command=NEVER_A_SHELLS)
    assert not wrong.passed
    assert "expected the input command to be audit or watch" in wrong.log


def test_no_script_has_an_expression_in_it() -> None:
    for step in DEFINITION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_only_a_workflows_own_comment_is_changed_and_a_token_that_may_not_write_is_a_warning(runner: Runner) -> None:
    runner.audit("0.5")
    marked = runner.github.ours[0]
    runner.github.comments[3]["body"] = marked
    runner.audit("0.7")
    assert runner.github.comments[3]["body"] == marked
    assert "audit: confirmed" in runner.github.ours[0]
    runner.github.read_only = True
    job = runner.audit("0.5")
    assert job.passed
    assert "::warning::no comment was written: HTTPError 403" in job.log


def test_the_log_is_not_read_as_commands_while_a_vendor_may_speak(runner: Runner) -> None:
    job = runner.audit("0.5")
    stops = re.findall(r"::stop-commands::(\w{32})\n(.*?)\n::\1::", job.log, re.DOTALL)
    assert len(stops) == 3
    outside = re.sub(r"::stop-commands::(\w{32})\n.*?\n::\1::", "", job.log, flags=re.DOTALL).strip()
    assert outside == "::warning title=blackbox-conformal audit::inconclusive, $0.3200 spent"
