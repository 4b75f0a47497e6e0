"""What a vendor said with an answer or a job, as text beside it in the inbox, in case the ledger cannot record it.

The text may be cut, or written by somebody else.
"""

import base64
import json
from typing import Any

from blackbox_conformal.drawing.ledger.attempts import VendorReport

_MOST_LETTERS = 150


def report_to_name(report: VendorReport) -> str:
    """A report as at most 150 letters, digits, - and _ of a file's name; what does not fit is left out."""
    for values in (
        [report.cost_nanousd, report.model, report.request_id, report.vendor_seed],
        [report.cost_nanousd, report.model, None, report.vendor_seed],
        [report.cost_nanousd, None, None, report.vendor_seed],
    ):
        if values == [None] * 4:
            return ""
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        packed = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if len(packed) <= _MOST_LETTERS:
            return packed
    return ""


def report_from_name(packed: str) -> VendorReport:
    """The report that `report_to_name` was given; an empty one when the text makes no sense."""
    try:
        values = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, RecursionError):
        return VendorReport()
    return _report_of(values) if isinstance(values, list) and len(values) == 4 else VendorReport()


def job_file(job: str, report: VendorReport) -> bytes:
    """The content of a file about an accepted job."""
    return json.dumps([job, [report.cost_nanousd, report.model, report.request_id, report.vendor_seed]]).encode()


def from_job_file(content: bytes) -> tuple[str, VendorReport] | None:
    """The job, and the report with it; None when the content makes no sense."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[0], str) or not values[0]:
        return None
    return values[0], _report_of(values[1]) if isinstance(values[1], list) and len(values[1]) == 4 else VendorReport()


def _report_of(values: list[Any]) -> VendorReport:
    cost, model, request, seed = values
    return VendorReport(
        cost if _is_number(cost) and 0 <= cost < 2**62 else None,
        model if isinstance(model, str) else None,
        request if isinstance(request, str) else None,
        seed if _is_number(seed) else None,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
