"""Canonical JSON and tagged digests: the byte form that fingerprints and file digests are taken over.

The form: sorted keys, no spaces, UTF-8, no NaN or infinity.
"""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """`value` as canonical JSON bytes.

    Raises
    ------
    ValueError
        The value holds NaN or an infinity, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_bytes(data: bytes) -> str:
    """``sha256:…`` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """``sha256:…`` over the canonical JSON of `value`."""
    return digest_bytes(canonical_json(value))
