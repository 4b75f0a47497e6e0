"""Where the action keeps things, and the key of its cache: of command, calibration and run folder."""

import hashlib
import os
from pathlib import Path, PurePosixPath


def main() -> None:
    """Write the outputs `folder`, `run`, `watch` and `key`."""
    command, calibration = os.environ["COMMAND"], os.environ["CALIBRATION"]
    run = os.environ["RUN"] or f".blackbox-conformal/{command}"
    if command not in ("audit", "watch"):
        raise SystemExit(f"expected the input command to be audit or watch; got {command!r}")
    if "\n" in calibration + run or not Path(calibration).is_file():
        raise SystemExit(f"expected the input calibration to name a file of the checkout; got {calibration!r}")
    of = "\n".join((command, calibration, run)).encode() + b"\n" + Path(calibration).read_bytes()
    key = f"{command}-{hashlib.sha256(of).hexdigest()[:16]}"
    names = {
        "folder": str(Path(os.environ["RUNNER_TEMP"]) / f"blackbox-conformal-{key}"),
        "run": run,
        # `watch` keeps its findings beside the calibration.
        "watch": str(PurePosixPath(calibration).with_suffix(".watch.sqlite")),
        "key": key,
    }
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
        outputs.writelines(f"{name}={value}\n" for name, value in names.items())


if __name__ == "__main__":
    main()
