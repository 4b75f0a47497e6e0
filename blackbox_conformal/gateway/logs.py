"""The gateway's log, one line per event on stderr as text or JSON without secrets, and its spans."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from blackbox_conformal.support.secrets import redact

if TYPE_CHECKING:
    pass

# Spans of OpenTelemetry: one for each request, and one for the work on it as its child.

Tell = Callable[..., None]  # Renames a span and sets its attributes, except None.


@contextmanager
def span(name: str, kind: Literal["server", "internal"], headers: Mapping[str, str] | None = None) -> Iterator[Tell]:
    """Open a span for the ``with`` block.

    `headers`: Of a request: the span is a child of the span in ``traceparent`` (W3C Trace Context).
    """
    try:
        from opentelemetry import propagate, trace
    except ImportError:
        yield lambda *_, **__: None
        return

    kinds = {"server": trace.SpanKind.SERVER, "internal": trace.SpanKind.INTERNAL}
    parent = None if headers is None else propagate.extract(dict(headers))
    # The text of an exception may hold a link.
    with trace.get_tracer("blackbox_conformal").start_as_current_span(
        name, parent, kinds[kind], record_exception=False, set_status_on_exception=False
    ) as current:

        def tell(renamed: str | None = None, /, **attributes: str | float | None) -> None:
            if renamed is not None:
                current.update_name(renamed)
            for key, value in attributes.items():
                if value is not None:
                    current.set_attribute(key.replace("__", "."), value)

        yield tell


LOG = logging.getLogger("blackbox_conformal.gateway")

Form = Literal["text", "json"]
_OWN = ("method", "route", "status", "seconds", "owner", "request", "cost_usd", "error")


class _Lines(logging.Formatter):
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
