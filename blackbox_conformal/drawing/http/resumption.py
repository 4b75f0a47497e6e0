"""What a cut download left, and whether an answer may be joined to it: only the same version, where it was cut."""

import re
from collections.abc import Mapping

_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Resumption:
    """The bytes of one download so far; empty until it is cut, and again whenever they must not be used.

    `total` is the size of the whole, where it is known. Only an answer with a strong ETag, from a server that offers
    byte ranges, is kept (RFC 9110, 8.8.1 and 14.2).
    """

    def __init__(self) -> None:
        self._etag = ""
        self._taking = False
        self.total: int | None = None
        self.pieces: list[bytes] = []

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return sum(map(len, self.pieces))

    def clear(self) -> None:
        """Begin from zero."""
        self._etag, self._taking, self.total, self.pieces = "", False, None, []

    def headers(self) -> dict[str, str]:
        """What to ask for: the rest of the same version; nothing when there is no beginning."""
        self._taking = False
        return {"range": f"bytes={self.size}-", "if-match": self._etag} if self.pieces else {}

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take up an answer; whether its body is the rest of what is here.

        Any other answer of success, and one that says that the version is gone (412, 416), empties what is here.
        """
        if status == 206 and self.pieces:
            part = _RANGE.fullmatch(headers.get("content-range", ""))
            first, last, total = (int(text) for text in part.groups()) if part else (-1, -1, -1)
            # Anything but exactly the rest would join bytes that do not belong together.
            fits = first == self.size and last + 1 == total and self.total in (None, total)
            if not fits or headers.get("etag") != self._etag or "content-encoding" in headers:
                self.clear()
                raise ValueError("the rest of a cut download is of another version, or another part; begun from zero")
            self._taking, self.total = True, total
            return True
        if 200 <= status < 300 or status in (412, 416):
            self.clear()
        # A compressed body has other offsets than the file.
        if status == 200 and "content-encoding" not in headers:
            ranges = headers.get("accept-ranges", "").lower().replace(" ", "").split(",")
            etag = headers.get("etag", "")
            # A weak ETag may stand for two contents that differ in bytes (RFC 9110, 8.8.1).
            if "bytes" in ranges and _STRONG.fullmatch(etag):
                length = headers.get("content-length", "")
                self._etag, self._taking = etag, True
                self.total = int(length) if length.isascii() and length.isdigit() else None
        return False

    def keep(self, pieces: list[bytes]) -> None:
        """Note what arrived of an answer that was cut, if it can be gone on with."""
        if self._taking:
            self.pieces = self.pieces + [piece for piece in pieces if piece]
