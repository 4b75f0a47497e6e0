"""The gateway's log: one line for each event on stderr, as text or as JSON, without secrets."""

import json
import logging
import sys
import time
from typing import Literal

from blackbox_conformal.support.secrets import redact

LOG = logging.getLogger("blackbox_conformal.gateway")

Form = Literal["text", "json"]
_OWN = ("method", "route", "status", "seconds", "owner", "request", "cost_usd", "error")


class _Lines(logging.Formatter):
    """Text for people; with `as_json` one object a line."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        if not self._as_json:
            seconds = getattr(record, "seconds", None)
            return redact(super().format(record) + ("" if seconds is None else f" {seconds:.3f} s"))
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in _OWN if hasattr(record, name)},
        }
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return redact(json.dumps(told))


def log_to_stderr(form: Form) -> None:
    """Send the log of this package and of the server to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(as_json=form == "json"))
    for name in ("blackbox_conformal", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "blackbox_conformal" else logging.WARNING)
