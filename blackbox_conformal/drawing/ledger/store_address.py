"""Where the answers of a run are kept besides its folder: addresses of stores."""

import os

from blackbox_conformal.drawing.ledger.noted_addresses import NotedAddresses
from blackbox_conformal.drawing.object_store import BucketAddress, is_bucket
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.secrets import redact


def normal(text: str) -> str:
    """A bucket's address, or the absolute path of a folder, as it is noted."""
    if is_bucket(text):
        return str(BucketAddress.of_text(text))
    if "://" in text or not text.strip() or not text.isprintable():
        raise UsageError(f"expected a folder, or an address such as s3://bucket/runs; got {redact(text)[:100]!r}")
    return os.path.abspath(text)


STORES = NotedAddresses(
    "store",
    "BLACKBOX_CONFORMAL_STORE",
    normal,
    unreadable="where the answers of this folder are kept; write that there, such as s3://bucket/runs",
    refused="the answers of {run} are kept in {place}, and a folder alone makes no connection; if that place is yours",
)
