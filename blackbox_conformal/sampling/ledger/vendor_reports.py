"""What a vendor told with an answer or a job, as text beside it in the inbox: the ledger may not come to hold it.

Reading distrusts what it finds: the text may be cut, or written by somebody else.
"""

import base64
import json
from typing import Any

from blackbox_conformal.sampling.ledger.attempts import VendorReport

_LONGEST = 150


def in_a_name(seen: VendorReport) -> str:
    """What is known, as at most 150 letters, digits, - and _ of a file's name; what does not fit is left out."""
    for known in (
        [seen.cost_nanousd, seen.model, seen.request_id, seen.vendor_seed],
        [seen.cost_nanousd, seen.model, None, seen.vendor_seed],
        [seen.cost_nanousd, None, None, seen.vendor_seed],
    ):
        if known == [None] * 4:
            return ""
        text = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
        packed = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if len(packed) <= _LONGEST:
            return packed
    return ""


def from_a_name(packed: str) -> VendorReport:
    """What `in_a_name` was given; nothing when it is not understood."""
    try:
        values = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, RecursionError):
        return VendorReport()
    return _seen(values) if isinstance(values, list) and len(values) == 4 else VendorReport()


def job_file(job: str, seen: VendorReport) -> bytes:
    """The content of a file about an accepted job."""
    return json.dumps([job, [seen.cost_nanousd, seen.model, seen.request_id, seen.vendor_seed]]).encode()


def from_job_file(content: bytes) -> tuple[str, VendorReport] | None:
    """The job, and what was told with it; None when it is not understood."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[0], str) or not values[0]:
        return None
    return values[0], _seen(values[1]) if isinstance(values[1], list) and len(values[1]) == 4 else VendorReport()


def _seen(values: list[Any]) -> VendorReport:
    cost, model, request, seed = values
    return VendorReport(
        cost if _is_number(cost) and 0 <= cost < 2**62 else None,
        model if isinstance(model, str) else None,
        request if isinstance(request, str) else None,
        seed if _is_number(seed) else None,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
