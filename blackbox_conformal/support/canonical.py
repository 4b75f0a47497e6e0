"""Canonical JSON and tagged digests: the bytes of fingerprints and file digests.

The form: sorted keys, no spaces, UTF-8, no NaN or infinity.
"""

import hashlib
import json
import math
from typing import Any

from blackbox_conformal.errors import FileFormatError


def canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_bytes(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """Return ``sha256:…`` over the canonical JSON of `value`."""
    return digest_bytes(canonical_json(value))


def strict_json(text: str | bytes) -> Any:
    """Read a JSON text that every reader reads alike: no key twice, no NaN or infinity."""
    return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers choose differently between two equal keys, so one file could mean two things under one digest.
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise FileFormatError("a key stands twice in an object of the file; it is damaged or hostile")
    return keys


def _finite(text: str) -> float:
    # JSON allows 1e999, which Python reads as infinity.
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)


def _no_constant(name: str) -> float:
    raise FileFormatError(f"the file holds {name}, which is no number; it is damaged or hostile")


def derived_seed(root: int, picture: str, index: int, seed_range: tuple[int, int]) -> int:
    """Derive the seed, within a range, of draw `index` of the picture with digest `picture`."""
    low, high = seed_range
    text = f"blackbox-conformal seed {root} {picture} {index}".encode()
    return low + int.from_bytes(hashlib.sha256(text).digest()[:8], "little") % (high - low + 1)
