"""Sends every request that the adapters make to mock servers of the vendors' own OpenAPI documents.

Not a test module: the documents are the vendors' and not part of this project. With Prism installed
(``npm install @stoplight/prism-cli``) and the documents in a folder::

    BLACKBOX_CONFORMAL_SPECS=folder python tests/openapi/check_specs.py [path of prism]

For each vendor the mock validates path, headers and body of each request, a question for a price included, and refuses
what is paid when nothing is in it (or the check would prove nothing). Then it is asked without the key, and for each
refusal that the vendor documents; `explain` must put both into the right class. Documents that are not there are passed
over.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

sys.path[:0] = [str(Path(__file__).parents[1])]

from support.flow_driver import ADDRESS, answers_of, built, drive, example, seeded, upload  # noqa: E402

from blackbox_conformal.errors import AccountRefusedError, RefusedError, TryLaterError  # noqa: E402
from blackbox_conformal.support.secrets import Secret  # noqa: E402
from blackbox_conformal.testing.rehearsal import rehearse_quote  # noqa: E402
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send, Upload  # noqa: E402
from blackbox_conformal.vendor.example import says, shows  # noqa: E402

CLASSES = {401: AccountRefusedError, 402: AccountRefusedError, 422: RefusedError, 429: TryLaterError}
VERSION = "ab" * 32
DONE = says(f'{{"id":"gm3qorzdhgbfurvjtvhg6dckhu","status":"succeeded","output":"{ADDRESS}/o"}}', 201)


@dataclass
class Case:
    """One way of using one adapter; `answers` are given to the flow so that it asks everything it can."""

    module: str
    parameters: dict[str, Any] = field(default_factory=dict)
    answers: tuple[Answer, ...] | None = None
    upload: Upload = field(default_factory=upload)
    strip: str = ""
    prefix: str = ""
    only: tuple[str, ...] = ("submit", "poll", "lookup", "quote")


LARGE = replace(upload(), png=upload().png + bytes(300_000))

CASES: dict[str, list[Case]] = {
    "replicate-openapi.yaml": [
        Case("replicate"),
        Case("replicate", {"model": "topazlabs/image-upscale"}, (DONE, shows())),
        Case("replicate", {"model": "me/mine", "route": "deployment"}, (DONE, shows())),
        Case(
            "replicate",
            {"model": f"csslc/ccsr:{VERSION}"},
            (says('{"urls":{"get":"https://api.replicate.com/v1/files/f"}}', 201), DONE, shows()),
            LARGE,
        ),
    ],
    "topaz-openapi.yaml": [
        Case("topaz", {"model": "Redefine"}, prefix="/image/v1"),
        Case("topaz", {"model": "Standard V2", "settings": {"sharpen": 0.5}}, prefix="/image/v1"),
        Case("topaz", {"task": "denoise", "model": "Normal", "scale": 1}, prefix="/image/v1"),
        Case("topaz", {"task": "deblur", "model": "Lens Blur V2", "scale": 1}, prefix="/image/v1"),
        Case("topaz", {"task": "colourise", "model": "Colorize", "scale": 1}, prefix="/image/v1"),
    ],
    "recraft-openapi.yaml": [
        Case("recraft", {"mode": "creative"}, prefix="/v1"),
        Case("recraft", {"mode": "crisp", "target": "upscale4mp"}, prefix="/v1"),
    ],
    "picsart-image-tools-openapi.yml": [Case("picsart"), Case("picsart", {"scale": 8})],
    "bria-image-editing-openapi.yml": [
        Case("bria", strip="/image/edit", only=("submit",)),
        Case("recipe", {"recipe": "bria-increase-resolution"}, strip="/image/edit", only=("submit",)),
        Case("recipe", {"recipe": "bria-restore"}, strip="/image/edit", only=("submit",)),
        Case("recipe", {"recipe": "bria-colorize"}, strip="/image/edit", only=("submit",)),
    ],
    "bria-status-openapi.yml": [Case("bria", only=("poll",))],
    "leonardo-openapi.json": [Case("leonardo")],
    "upscayl-openapi.yaml": [Case("upscayl_cloud")],
    "comfy-cloud-openapi.yaml": [Case("comfy_cloud", prefix="/api")],
}


@contextmanager
def mock(prism: str, document: Path) -> Iterator[str]:
    """A mock server of one document on a free loopback port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [prism, "mock", "-h", "127.0.0.1", "-p", str(port), str(document)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def asked(case: Case) -> tuple[Adapter, list[Send]]:
    """The requests of one draw that go to the vendor itself."""
    adapter = built(case.module, **case.parameters)
    answers = answers_of(case.module) if case.answers is None else case.answers
    if case.parameters.get("recipe"):
        adapter = built(case.module, **case.parameters)
        answers = adapter.example_exchange().filled(b"", ADDRESS)  # type: ignore[attr-defined]
    sends = drive(adapter, adapter.draw(case.upload, seeded(adapter)), answers).sends
    if adapter.quote(case.upload) is not None:
        sends += rehearse_quote(adapter, case.upload, example(case.module)[1].quotes).sends
    return adapter, [send for send in sends if send.purpose in case.only and not send.public]


def sent(client: httpx.Client, send: Send, address: str, case: Case, **more: str) -> Answer:
    """The mock's answer to a request."""
    headers = {name: value.reveal() if isinstance(value, Secret) else value for name, value in send.headers.items()}
    response = client.request(
        send.method,
        send.url.replace(ADDRESS + case.strip, address + case.prefix, 1),
        headers=headers | more,
        json=send.json,
        data=dict(send.form) if send.form else None,
        files=[(part.name, (part.filename, part.content, part.content_type)) for part in send.files] or None,
        content=send.body,
    )
    named = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, named, response.content)


def check(prism: str, document: Path, cases: list[Case]) -> tuple[Counter[str], list[str]]:
    """How often each kind of exchange was checked, and what was found wrong."""
    count: Counter[str] = Counter()
    problems = []
    with mock(prism, document) as address, httpx.Client(trust_env=False, timeout=30) as client:
        for case in cases:
            adapter, sends = asked(case)
            for send in sends:
                what = f"{document.name}: {send.method} {send.url.removeprefix(ADDRESS)}"
                answer = sent(client, send, address, case)
                count[send.purpose] += 1
                violations = json.loads(answer.headers.get("sl-violations", "[]"))
                ours = [found for found in violations if found["location"][0] == "request"]
                if not 200 <= answer.status < 300 or ours:
                    said = ours or answer.body[:600].decode("utf-8", "replace")
                    problems.append(f"{what}: HTTP {answer.status} {said}")
                    continue
                if send.purpose in ("submit", "quote"):
                    empty = sent(client, replace(send, headers={}, json=None, form=None, files=()), address, case)
                    count["empty"] += 1
                    if empty.status < 400:
                        problems.append(f"{what}: the mock takes a request without anything in it")
                bare = {name: value for name, value in send.headers.items() if not isinstance(value, Secret)}
                refusals = [(401, sent(client, replace(send, headers=bare), address, case))]
                refusals += [(status, sent(client, send, address, case, prefer=f"code={status}")) for status in CLASSES]
                for status, refusal in refusals:
                    if refusal.status != status or b"NO_RESPONSE_DEFINED" in refusal.body:
                        continue
                    count[str(status)] += 1
                    error = adapter.explain(refusal, "quote" if send.purpose == "quote" else "submit")
                    if not isinstance(error, CLASSES[status]):
                        problems.append(f"{what}: HTTP {status} is read as {type(error).__name__}")
    return count, problems


def main() -> int:
    """Check every document that there is; 1 when anything was wrong or nothing was checked."""
    folder = os.environ.get("BLACKBOX_CONFORMAL_SPECS")
    prism = sys.argv[1] if len(sys.argv) > 1 else shutil.which("prism")
    if not folder or not prism:
        print("set BLACKBOX_CONFORMAL_SPECS to the folder of OpenAPI documents, and name prism", file=sys.stderr)
        return 2
    total, wrong = 0, 0
    for name, cases in CASES.items():
        for case in cases:
            os.environ.update(example(case.module)[1].environment)
        document = Path(folder) / name
        if not document.exists():
            print(f"{name}: not there")
            continue
        count, problems = check(prism, document, cases)
        total, wrong = total + count.total(), wrong + len(problems)
        kinds = ", ".join(f"{number} {kind}" for kind, number in count.items())
        print(f"{name}: {count.total()} exchanges ({kinds}), {len(problems)} problems")
        for problem in problems:
            print(f"  {problem}")
    print(f"{total} exchanges, {wrong} problems")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    raise SystemExit(main())
