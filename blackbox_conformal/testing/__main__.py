"""``python -m blackbox_conformal.testing``: the fault server as a process.

It prints its address as the first line of standard output, and a command's options for it on standard error. It serves
until SIGTERM or Ctrl-C.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support import local_servers
from blackbox_conformal.support.wording import option_words
from blackbox_conformal.testing.fault_server import (
    PURPOSES,
    FaultServer,
    Script,
    as_fault,
    chances,
    fault_names,
    planned,
)
from blackbox_conformal.testing.faults import function_of, usage

ADDRESSES = """\
Serves until it is told to end (SIGTERM, Ctrl-C): in a script, start it with `&` and end it with `kill`.

  POST /v1/upscale?scale=4&seed=7     body: a PNG as it is; answer: the PNG, enlarged
  POST /v1/jobs                       body: a form with the file `image` and the fields scale, seed, reference;
                                      answer: {"id", "status"}
  GET  /v1/jobs/ID                    {"id", "status", "output", "cost_usd", "model"}; output is a link once succeeded
  GET  /v1/jobs?reference=KEY         {"jobs": [{"id"}]}
  POST /v1/jobs/ID/cancel
  GET  /v1/price                      {"cost_usd"}
  GET  /account                       the vendor's own books: submissions, distinct draws, money

With --api-key-file every request but those of results and of the books needs `Authorization: Bearer KEY`."""
SCRIPTS = """\
A script is JSON: by purpose (submit, poll, download, lookup, cancel, quote) one fault for all requests, a list for
the first ones, or probabilities: {"submit": ["ok", "status:code=503"]} or {"poll": {"status:code=500": 0.1}}. The
faults, with their parameters, which may be left out where a value stands:"""


def script_from(text: str, seed: int) -> Script | None:
    """Read a plan (purpose → fault or list of faults) or chances (purpose → {fault: probability}) from JSON."""
    plan: dict[str, Any] = json.loads(text) if text else {}
    if not isinstance(plan, dict) or not plan.keys() <= PURPOSES:
        raise UsageError(f"expected an object with keys among {', '.join(sorted(PURPOSES))}; got {text}")
    for entry in plan.values():
        for named in [entry] if isinstance(entry, str) else entry or ():
            # A misspelt fault ends the start, not a test in its middle.
            function_of(as_fault(named))
    if any(isinstance(entry, dict) for entry in plan.values()):
        return chances(seed, plan)
    return planned(plan) if plan else None


def main(arguments: list[str] | None = None) -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m blackbox_conformal.testing",
        description="A vendor on a loopback socket that misbehaves on request.",
        epilog=f"{ADDRESSES}\n\n{SCRIPTS}\n\n  " + "\n  ".join(map(usage, fault_names())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 is a free one")
    parser.add_argument("--script", default="", metavar="JSON", help='e.g. {"submit": ["close-without-answer"]}')
    parser.add_argument("--seed", type=int, default=0, help="of probabilities in the script")
    parser.add_argument("--api-key-file", type=Path, help="file with the key that requests must carry")
    parser.add_argument("--idempotent", action="store_true", help="honour Idempotency-Key")
    parser.add_argument("--price-usd", default="0.01", help="of one submission")
    parser.add_argument("--polls", type=int, default=1, help="how often a job is read before it is done")
    local_servers.add_option(parser)
    chosen = parser.parse_args(arguments)
    file: Path | None = chosen.api_key_file
    try:
        # Without the white space around it.
        key = None if file is None else file.read_text(encoding="utf-8").strip()
        if key == "":
            raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        parser.error(f"expected --api-key-file to name a file with a key; {file}: {error}")
    try:
        script = script_from(chosen.script, chosen.seed)
    except ValueError as error:
        parser.error(f"--script: {error}")
    server = FaultServer(
        script,
        port=chosen.port,
        price_usd=chosen.price_usd,
        api_key=key,
        idempotent=chosen.idempotent,
        polls=chosen.polls,
    )
    try:
        server.start()
    except OSError as error:
        parser.error(f"expected a free port; --port {chosen.port}: {error}. --port 0 takes a free one")
    # Waits for standard input too: a dying script takes its server with it.
    ended = local_servers.end_requested(while_stdin=chosen.while_stdin)
    try:
        print(server.url, flush=True)
        # The options with which a command asks this server, ready to paste.
        parameters = {"url": f"{server.url}/v1/upscale", "label": "test-vendor", "price_usd": chosen.price_usd}
        parameters |= {"key_header": "authorization", "key_prefix": "Bearer "} if key is not None else {}
        parameters |= {"idempotent": "true"} if chosen.idempotent else {}
        said = shlex.join(["--adapter", "http", *option_words(parameters)])
        print(f"Ask it with: {said}", file=sys.stderr)
        if file is not None:
            print(f"Its key: export HTTP_VENDOR_KEY_FILE={shlex.quote(str(file.resolve()))}", file=sys.stderr)
        print(f"Its books, of play money: {server.url}/account. Ctrl-C ends it.", file=sys.stderr)
        ended.wait()
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
