"""A run in a process of its own, so that a test may kill it: draws N pictures × M draws and prints what came of it.

``python kill_driver.py URL RUN DIALECT PICTURES DRAWS [LIMITS-JSON] [ADAPTER-JSON] [EXTRA-JSON]``. SIGINT and SIGTERM
stop the sampler, as the command line does; a second one ends the process. Prints one JSON line at the end. Extras:
``size`` of the pictures, ``check_seconds`` to look at each answer, ``file_limit`` in bytes (as a full disk).
"""

import json
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.draws import check, limits, tasks

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.rates import Rate


def main(
    url: str,
    run: str,
    dialect: str,
    pictures: str,
    draws: str,
    changes: str = "{}",
    fields: str = "{}",
    extras: str = "{}",
) -> int:
    """Draw; the exit code is the error's."""
    kind = {"jobs": JobVendor, "synchronous": SynchronousVendor}[dialect]
    adapter = kind(url=url, **json.loads(fields))
    extra, changed = json.loads(extras), json.loads(changes)
    if "rates" in changed:
        changed["rates"] = tuple(map(Rate.of_text, changed["rates"]))
    work = tasks(int(pictures), int(draws), **extra.get("size", {}))
    if "file_limit" in extra:
        resource.setrlimit(resource.RLIMIT_FSIZE, (extra["file_limit"], extra["file_limit"]))

    def look(content: bytes, task: Task) -> None:
        time.sleep(extra.get("check_seconds", 0.0))
        check(content, task)

    states: list[str] = []
    code, message, signals = 0, "", 0
    with Sampler(adapter, Path(run), limits(**changed), check=look) as sampler:

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal signals
            signals += 1
            if signals > 1:
                raise KeyboardInterrupt
            sampler.stop()

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        print("ready", flush=True)
        try:
            for outcome in sampler.draw(work):
                states.append(outcome.state)
                if outcome.state == "stored":
                    sampler.read(outcome)
        except BlackboxConformalError as error:
            code, message = error.exit_code, str(error)
    print(json.dumps({"states": states, "code": code, "message": message}), flush=True)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
