"""Resumes cut downloads, of the same version and where they were cut."""

import re
from collections.abc import Mapping

_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Resumption:
    """Bytes of one download so far; empty until it is cut.

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
        return sum(map(len, self.pieces))

    def clear(self) -> None:
        self._etag, self._taking, self.total, self.pieces = "", False, None, []

    def headers(self) -> dict[str, str]:
        """Ask for the rest of the same version; empty when there is no beginning."""
        self._taking = False
        return {"range": f"bytes={self.size}-", "if-match": self._etag} if self.pieces else {}

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take up an answer; True where its body is the rest of what is here.

        Any other success, and an answer that says that the version is gone (412, 416), empties what is here.
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
        """Keep what arrived of an answer that was cut, if it can be resumed."""
        if self._taking:
            self.pieces = self.pieces + [piece for piece in pieces if piece]
