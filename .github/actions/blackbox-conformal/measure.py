"""Run `audit` or `watch` and say what it found: outputs, step summary, the text of the comment, and the report."""

import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

OUTCOMES = {
    "confirmed": "success",
    "watched": "success",
    "inconclusive": "neutral",
    "shifted": "neutral",
    "incomplete": "neutral",
}
"""Of every verdict that is no failure. Neutral: a warning, and the check stays green."""

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
"""Of an environment variable."""

INCOMPLETE = 6
"""The exit code of what can be resumed, and of `watch` when it could not tell."""


def lines(name: str) -> list[str]:
    """The lines of an input, without empty ones."""
    return [line.strip() for line in os.environ[name].splitlines() if line.strip()]


def words() -> list[str]:
    """The command, word by word; no shell takes them apart."""
    parameters = [word for parameter in lines("PARAMETERS") for word in ("-p", parameter)]
    given = {"--alpha": os.environ["ALPHA"], "--max-cost": os.environ["MAX_COST"], "--run": os.environ["RUN"]}
    options = [word for name, value in given.items() if value for word in (name, value)]
    if given["--max-cost"]:
        # Each use has a run folder of its own, and buys what another one has bought for itself.
        options.append("--yes")
    command = [os.environ["COMMAND"], "--calibration", os.environ["CALIBRATION"], *parameters, *options]
    return [*command, *lines("OPTIONS"), "--json", "--", *lines("PHOTOGRAPHS")]


def keys() -> dict[str, str]:
    """Environment variables of the input `keys`, without empty ones, as a fork's secrets are; no error shows one."""
    pairs = [line.partition("=") for line in lines("KEYS")]
    if not all(NAME.fullmatch(name) and equals for name, equals, _ in pairs):
        raise SystemExit(
            "expected every line of the input keys to be NAME=VALUE, such as the name of a secret; got another"
        )
    return {name: value for name, _, value in pairs if value}


def called(*arguments: str, keys: dict[str, str] | None = None) -> tuple[int, Any]:
    """The exit code and the document of a command; what it says to people goes to the log."""
    # Nothing that a vendor sent and the log repeats may be read as a command to the runner.
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "KEYS"} | (keys or {})
    program = [os.environ["PROGRAM"], *arguments]
    done = subprocess.run(program, stdout=subprocess.PIPE, stderr=sys.stdout, env=environment, check=False)
    print(f"\n::{token}::", flush=True)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, {}


def spending(run: str) -> tuple[int | None, float | None]:
    """Paid calls in the ledger, and what they cost in US dollars; None where it is unknown."""
    if not (Path(run) / "ledger.sqlite").exists():
        return 0, 0.0
    _, total = called("ledger", "sum", "--run", run, "--json", "--quiet")
    return total.get("paid"), total.get("cost_usd")


def verdict_of(code: int, document: dict[str, Any]) -> str:
    """One word."""
    if code == INCOMPLETE:
        return "incomplete"
    found = document.get("verdict") or document.get("state")
    return found if code in (0, 3) and isinstance(found, str) else "failed"


def code(text: Any, longest: int = 1000) -> str:
    """Text as a code span, in which GitHub sees no link, image or mention; escaped, a mention still is one."""
    whole = " ".join(str(text).split())[:longest]
    fence = "`" * (1 + max(map(len, re.findall("`+", whole)), default=0))
    return f"{fence} {whole} {fence}"


def text_of(verdict: str, document: dict[str, Any], spend: str, calls: str) -> str:
    """The comment, in Markdown."""
    command, calibration = os.environ["COMMAND"], code(os.environ["CALIBRATION"])
    said = [f"### blackbox-conformal {command}: {verdict}", ""]
    if levels := document.get("levels"):
        said += ["| alpha | risk | 90 % interval | trusted | verdict |", "| --- | --- | --- | --- | --- |"]
        for level in levels:
            low, high = level["ci"]
            said.append(
                f"| {level['alpha']:g} | {level['risk']:.4f} | {low:.3f} to {high:.3f} | "
                f"{100 * level['trusted_share']:.1f} % | {level['verdict']} |"
            )
        said += ["", f"{document['n']} photographs that the calibration has not seen."]
    for finding in document.get("findings", []):
        said.append(f"- {finding['layer']}, {finding['verdict']}: {code(finding['statement'])}")
    if error := document.get("error"):
        said.append(f"Error: {code(error['message'])}")
    price = "at an unknown price" if spend == "unknown" else f"for ${spend}"
    address = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(os.environ)
    return "\n".join([*said, "", f"{calls} paid calls {price}, of {calibration}. [Report and log]({address})", ""])


def write_report(results: Path) -> str:
    """The HTML file about the run folder; empty where none can be made."""
    calibration, run = os.environ["CALIBRATION"], os.environ["RUN"]
    path = results / "report.html"
    where = ["--calibration", calibration, "--run", run]
    if os.environ["COMMAND"] == "watch":
        called("watch", *where, "--page-only", str(path), "--force", "--quiet")
    else:
        called("report", *where, "--out", str(path), "--force", "--quiet")
    return str(path) if path.exists() else ""


def main() -> None:
    """Measure, and write everything down; how it ended is an output, so that later steps run."""
    results, run = Path(os.environ["RESULTS"]), os.environ["RUN"]
    results.mkdir(parents=True, exist_ok=True)
    paid_before, cost_before = spending(run)
    exit_code, document = called(*words(), keys=keys())
    paid, cost = spending(run)
    verdict = verdict_of(exit_code, document)
    spend = "unknown" if cost is None or cost_before is None else f"{max(0.0, cost - cost_before):.4f}"
    calls = "unknown" if paid is None or paid_before is None else str(paid - paid_before)
    text = text_of(verdict, document, spend, calls)
    (results / "document.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    (results / "comment.md").write_text(text, encoding="utf-8")
    outcome = OUTCOMES.get(verdict, "failure")
    outputs = {
        "verdict": verdict,
        "outcome": outcome,
        "spend": spend,
        "calls": calls,
        "report": write_report(results),
    }
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in outputs.items())
    with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as file:
        file.write(text)
    level = {"success": "notice", "neutral": "warning", "failure": "error"}[outcome]
    spent = "spent: unknown" if spend == "unknown" else f"${spend} spent"
    print(f"::{level} title=blackbox-conformal {os.environ['COMMAND']}::{verdict}, {spent}")


if __name__ == "__main__":
    main()
