"""Spans of OpenTelemetry: one for each request, and one for the work on it as its child.

Without the extra `telemetry` there are none. A program that sets OpenTelemetry up, such as
``opentelemetry-instrument``, receives them. They hold no link, picture, id or key.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

Tell = Callable[..., None]
"""Gives a span another name, and attributes; those that are None are left out."""


@contextmanager
def span(name: str, kind: Literal["server", "internal"], headers: Mapping[str, str] | None = None) -> Iterator[Tell]:
    """A span for the ``with`` block.

    Parameters
    ----------
    headers
        Of a request: the span is a child of the one that ``traceparent`` names (W3C Trace Context).
    """
    tracer = _tracer()
    if tracer is None:
        yield lambda *_, **__: None
        return
    from opentelemetry import propagate, trace

    kinds = {"server": trace.SpanKind.SERVER, "internal": trace.SpanKind.INTERNAL}
    parent = None if headers is None else propagate.extract(dict(headers))
    # The text of an exception may hold a link.
    with tracer.start_as_current_span(
        name, parent, kinds[kind], record_exception=False, set_status_on_exception=False
    ) as current:

        def tell(renamed: str | None = None, /, **attributes: str | float | None) -> None:
            if renamed is not None:
                current.update_name(renamed)
            for key, value in attributes.items():
                if value is not None:
                    current.set_attribute(key.replace("__", "."), value)

        yield tell


def _tracer() -> "Tracer | None":
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("blackbox_conformal")
