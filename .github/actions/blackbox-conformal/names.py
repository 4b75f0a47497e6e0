"""What this use of the action is called, and where it keeps things."""

import hashlib
import os
import re
from pathlib import Path, PurePosixPath


def main() -> None:
    """Write the outputs `name` (of comment and artifact), `cache`, `folder`, `run` and `watch`."""
    command, calibration, name = os.environ["COMMAND"], os.environ["CALIBRATION"], os.environ["NAME"]
    if command not in ("audit", "watch"):
        raise SystemExit(f"expected the input command to be audit or watch; got {command!r}")
    if "\n" in calibration + os.environ["RUN"] or not Path(calibration).is_file():
        raise SystemExit(f"expected the input calibration to name a file of the checkout; got {calibration!r}")
    # By the path and not the content: the first run with a new calibration changes the comment that is there.
    name = name or f"{command}-{hashlib.sha256(calibration.encode()).hexdigest()[:8]}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", name):
        raise SystemExit(f"expected the input name to have up to 60 letters, digits, _ and -; got {name!r}")
    folder = Path(os.environ["RUNNER_TEMP"]) / f"blackbox-conformal-{name}"
    if folder.exists():
        raise SystemExit(f"expected a name of its own for each use in a job; {name!r} was used. Add: name: {name}-2")
    folder.mkdir()
    outputs = {
        "name": f"blackbox-conformal-{name}",
        "cache": f"blackbox-conformal-{name}-{hashlib.sha256(Path(calibration).read_bytes()).hexdigest()[:16]}",
        "folder": str(folder),
        "run": os.environ["RUN"] or f".blackbox-conformal/{name}",
        # `watch` keeps its findings beside the calibration.
        "watch": str(PurePosixPath(calibration).with_suffix(".watch.sqlite")),
    }
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
        file.writelines(f"{key}={value}\n" for key, value in outputs.items())


if __name__ == "__main__":
    main()
