"""Reading a body, or a ``data:`` link, of limited size: the bytes that arrive, and what they decode to."""

import base64
import binascii
import zlib
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from blackbox_conformal.errors import PayloadError

_CHUNK = 1 << 20


def read_body(
    chunks: Iterable[bytes], encoding: str, length: int | None, most: int, pieces: list[bytes] | None = None
) -> bytes:
    """The whole body, decoded.

    Parameters
    ----------
    encoding
        Content-Encoding. ``identity`` is asked for; one layer of gzip or deflate is decoded all the same.
    length
        Content-Length, None when there is none.
    most
        Largest number of bytes before and after decoding.
    pieces
        Filled with the bytes as they come, so that the caller has them when the body is cut.

    Raises
    ------
    PayloadError
        Too large, an encoding that cannot be decoded, damaged, or not as long as announced.
    """
    if length is not None and length > most:
        raise PayloadError(f"expected an answer of at most {most} bytes; {length} are announced")
    layers = [layer for part in encoding.lower().split(",") if (layer := part.strip()) not in ("", "identity")]
    if len(layers) > 1 or (layers and layers[0] not in ("gzip", "x-gzip", "deflate")):
        raise PayloadError(f"expected an answer without Content-Encoding; got {encoding[:60]!r}, which is not decoded")
    decoder = zlib.decompressobj(wbits=47) if layers else None
    pieces = [] if pieces is None else pieces
    received = decoded = 0
    for chunk in chunks:
        received += len(chunk)
        if received > most:
            raise PayloadError(f"expected an answer of at most {most} bytes; more arrived")
        if decoder is None:
            pieces.append(chunk)
            continue
        decoded += _inflate(decoder, chunk, pieces, most - decoded)
    if length is not None and received != length:
        raise PayloadError(f"expected an answer of {length} bytes as announced; {received} arrived")
    if decoder is not None and received and not decoder.eof:
        raise PayloadError("the compressed answer ends before its end")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(decoder: "zlib._Decompress", chunk: bytes, pieces: list[bytes], room: int) -> int:
    """Decode one chunk into `pieces`, never holding more than `room` bytes more; the number that came out."""
    size = 0
    while chunk and not decoder.eof:
        try:
            piece = decoder.decompress(chunk, _CHUNK)
        except zlib.error as error:
            raise PayloadError(f"the compressed answer is damaged ({error})") from None
        size += len(piece)
        if size > room:
            raise PayloadError("the compressed answer unpacks to more bytes than an answer may have")
        pieces.append(piece)
        chunk = decoder.unconsumed_tail
    return size


def read_data_link(link: str, most: int) -> tuple[str, bytes]:
    """Media type and bytes of a ``data:`` link.

    Raises
    ------
    PayloadError
        The link is longer than its bytes may be, or is not a data link.
    """
    head, comma, data = link[5:].partition(",")
    if not comma:
        raise PayloadError("expected a data link with a comma before its data; found none")
    if len(data) > most * 2:
        raise PayloadError(f"expected a data link of at most {most} bytes; got {len(data)} characters")
    media, *attributes = head.split(";")
    try:
        if attributes and attributes[-1].strip().lower() == "base64":
            body = base64.b64decode("".join(unquote_to_bytes(data).decode("ascii").split()), validate=True)
        else:
            body = unquote_to_bytes(data)
    except (binascii.Error, ValueError):
        raise PayloadError("the data link from the vendor is not valid base64") from None
    if len(body) > most:
        raise PayloadError(f"expected a data link of at most {most} bytes; got {len(body)}")
    return media or "text/plain", body
