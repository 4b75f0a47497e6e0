"""The run's manifest: what was about to be done, written before the first call.

Its time stamp and digest show that settings were fixed before results were seen; it never holds a key.
"""

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blackbox_conformal.canonical import digest_json
from blackbox_conformal.files import make_private, refusal, write_once
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import Setup

_PACKAGES = ("blackbox-conformal", "numpy", "numba", "pillow", "httpx", "tenacity")


def write_manifest(run: Path, setup: Setup, pictures: Sequence[Prepared], **settings: Any) -> Path:
    """Write `manifest.json` into the run folder unless the same plan is there already.

    A plan that differs (other photographs, another guarantee) gets a file of its own beside it, named by its
    digest, so that an earlier plan is never lost.
    """
    plan = {
        "procedure": setup.procedure.model_dump(mode="json"),
        "fingerprint": setup.procedure.fingerprint,
        "settings": settings,
        "photographs": [
            {
                "name": picture.name,
                "truth": picture.truth_digest,
                "input": picture.input_digest,
                "conversions": list(picture.conversions),
            }
            for picture in sorted(pictures, key=lambda picture: picture.input_digest)
        ],
    }
    digest = digest_json(plan)
    for name in ("manifest.json", f"manifest-{digest.removeprefix('sha256:')[:12]}.json"):
        path = run / name
        if not path.exists() and _write(path, plan, digest):
            return path
        if json.loads(path.read_bytes()).get("plan_digest") == digest:
            return path
    return path


def is_of(run: Path, fingerprint: str) -> bool:
    """Whether the folder holds the manifest of a calibration of the procedure with this fingerprint."""
    try:
        return bool(json.loads((run / "manifest.json").read_bytes()).get("fingerprint") == fingerprint)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _write(path: Path, plan: dict[str, Any], digest: str) -> bool:
    """Write the manifest, unless another process has just done so; whether it was written."""
    content = {
        **plan,
        "plan_digest": digest,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {package: version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.platform(),
    }
    try:
        make_private(path.parent)
        return write_once(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise refusal(path, error) from None
