"""Photographs at addresses: in buckets, and on web servers, alone or in lists with an address a line.

They are fetched once, to a folder for temporary files that ends with the process. A list is data: it names pictures of
its own bucket or server, and pictures on public servers, which are sent no key. What follows the ``?`` of an address
may let its holder in, so it is neither shown nor kept.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeGuard
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.object_store import Bucket, BucketAddress, StoredObject, is_bucket
from blackbox_conformal.errors import IncompleteError, MaybeSentError, NotSentError, UsageError, VendorError
from blackbox_conformal.method.images.photographs import SUFFIXES
from blackbox_conformal.method.images.read import DEFAULT_LIMITS
from blackbox_conformal.study.listeners import Progress, unseen
from blackbox_conformal.support.files import refusal
from blackbox_conformal.support.secrets import Secret, redact
from blackbox_conformal.support.text import clean, printable
from blackbox_conformal.vendor.adapter import Send

LIST_SUFFIX = ".txt"
MOST_LIST_BYTES = 64 * 2**20
_WEB = ("https", "http")
_AT_ONCE = 8
_TRIES = 5
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PART = 200
"""Bytes of a part of an address that becomes the name of a file or folder."""

_addresses: dict[Path, str] = {}


@dataclass(frozen=True, slots=True)
class _Found:
    """A picture that is to be fetched: its address for people, the bytes it is known to have, and what fetches it."""

    shown: str
    size: int
    get: Callable[[], bytes]


def is_address(text: object) -> TypeGuard[str]:
    """Whether a text is the address of photographs, and no path."""
    return isinstance(text, str) and (is_bucket(text) or text.lower().startswith(("https://", "http://")))


def address_of(path: Path) -> str:
    """Where a photograph is from, for people and documents: its address, where it was fetched, or else its path."""
    return _addresses.get(path, str(path))


def fetch_photographs(address: str, folder: Path | None = None, progress: Progress = unseen) -> list[Path]:
    """Every photograph at an address, as files in the order of their names.

    Parameters
    ----------
    address
        ``s3://``, ``gs://`` or ``az://``: a photograph, or all below it; ``https://``: a photograph. With the ending
        ``.txt`` either is a list: an address a line, which may be relative.
    folder
        Where they are put; None: a folder that ends with the process.
    progress
        Called with what is going on, how many are done, and how many there are.

    Raises
    ------
    UsageError
        There is none, it cannot be read, or the list names what a list may not.
    IncompleteError
        The server does not answer, the disk is full, or a photograph was changed meanwhile.
    """
    found = list(_in_bucket(BucketAddress.of_text(address)) if is_bucket(address) else _on_web(address))
    if not found:
        raise UsageError(f"expected pictures ({', '.join(sorted(SUFFIXES))}); found none at {_shown(address)}")
    target = Path(tempfile.mkdtemp(dir=_temporary().name if folder is None else folder))
    paths = [target / _place(each.shown) for each in found]
    if len(set(paths)) < len(paths):
        twice = next(each.shown for each, path in zip(found, paths, strict=True) if paths.count(path) > 1)
        raise UsageError(f"expected each picture once; {printable(twice)} is named twice")
    free = shutil.disk_usage(target).free
    if (needed := sum(each.size for each in found)) > free:
        raise UsageError(
            f"expected room for {needed >> 20} MiB of pictures in {target.parent}; {free >> 20} MiB are free. Set "
            "TMPDIR to a folder with more room, or name fewer pictures"
        )
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
        try:
            for done, _ in enumerate(pool.map(_fetch, found, paths)):
                progress("fetching pictures", done, len(found))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    progress("fetching pictures", len(found), len(found))
    return sorted(paths)


def _fetch(found: _Found, path: Path) -> None:
    content = found.get()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise refusal(path, error) from None
    _addresses[path] = found.shown


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder that is kept, as the cache keeps this object, until the process ends."""
    return tempfile.TemporaryDirectory(prefix="blackbox-conformal-")


def _in_bucket(address: BucketAddress) -> Iterator[_Found]:
    """The pictures at an address in a bucket."""
    bucket = Bucket(BucketAddress(address.scheme, address.bucket, ""))
    key = address.prefix
    if key.endswith(LIST_SUFFIX):
        yield from _listed_in_bucket(address, bucket)
        return
    named = Path(key).suffix.lower() in SUFFIXES
    below = [] if named else [found for found in bucket.names(key) if _is_picture(found.name[len(key) :])]
    for found in below or filter(None, [bucket.head(key) if key else None]):
        yield _of_bucket(bucket, found)


def _is_picture(name: str) -> bool:
    parts = name.strip("/").split("/")
    return Path(parts[-1]).suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in parts)


def _of_bucket(bucket: Bucket, found: StoredObject) -> _Found:
    shown = f"{bucket.shown}/{found.name}"
    if found.size > DEFAULT_LIMITS.max_bytes:
        raise UsageError(f"{printable(shown)}: expected at most {DEFAULT_LIMITS.max_bytes} bytes; it has {found.size}")
    return _Found(shown, found.size, partial(_read_object, bucket, found.name, found.tag))


def _read_object(bucket: Bucket, name: str, tag: str | None) -> bytes:
    content = bucket.get(name, tag)
    if content is None:
        raise UsageError(f"expected a picture; {printable(f'{bucket.shown}/{name}')} does not exist")
    return content


def _listed_in_bucket(address: BucketAddress, bucket: Bucket) -> Iterator[_Found]:
    """The pictures that a list in a bucket names."""
    outside = _transport("https://outside.invalid")
    folder = address.prefix.rpartition("/")[0]
    for number, line in _lines(str(address), _read_object(bucket, address.prefix, None)):
        if line.lower().startswith(("https://", "http://")):
            yield _of_web(outside, line)
            continue
        root = f"{address.scheme}://{address.bucket}/"
        relative = line.removeprefix("/") if line.startswith("/") else "/".join(filter(None, (folder, line)))
        named = BucketAddress.of_text(line if "://" in line and is_bucket(line) else root + relative)
        if "://" in line and not line.startswith(root):
            raise _refused(str(address), number, f"pictures in {root} or at https://")
        name = named.prefix
        yield _Found(str(named), 0, partial(_read_object, bucket, name, None))


def _on_web(address: str) -> Iterator[_Found]:
    """The picture at an address on a web server, or those that its list names."""
    parts = _parts(address)
    transport = _transport(f"{parts.scheme}://{parts.netloc}")
    if not parts.path.endswith(LIST_SUFFIX):
        yield _of_web(transport, address)
        return
    for number, line in _lines(_shown(address), _read_web(transport, address, MOST_LIST_BYTES)):
        target = urljoin(address, line)
        if urlsplit(target).scheme not in _WEB:
            raise _refused(_shown(address), number, "addresses that start with https://")
        yield _of_web(transport, target)


def _lines(shown: str, content: bytes) -> Iterator[tuple[int, str]]:
    """The lines of a list that name something, with their numbers."""
    try:
        if len(content) > MOST_LIST_BYTES:
            raise ValueError
        text = content.decode("utf-8-sig")
    except ValueError:
        raise UsageError(
            f"expected a list of pictures, an address a line, in UTF-8 and below {MOST_LIST_BYTES} bytes; "
            f"{printable(shown)} is none"
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _refused(shown: str, number: int, expected: str) -> UsageError:
    return UsageError(f"{printable(shown)}, line {number}: expected {expected}; a list may name nothing else")


def _transport(base: str) -> Transport:
    return Transport(base, (), Limits(max_answer_bytes=DEFAULT_LIMITS.max_bytes))


def _of_web(transport: Transport, address: str) -> _Found:
    _parts(address)
    return _Found(_shown(address), 0, partial(_read_web, transport, address, DEFAULT_LIMITS.max_bytes))


def _read_web(transport: Transport, address: str, most: int) -> bytes:
    """The content at an address; servers that are busy or out of reach are asked a few times."""
    shown, why = printable(_shown(address)), ""
    for tried in range(_TRIES):
        time.sleep(0.25 * 2**tried if tried else 0)
        try:
            answer = transport.send(Send("GET", address, "download", public=True))
        except VendorError as error:
            why = clean(str(error)).replace("the vendor's link", "the link").replace(" from the vendor", "")
            if isinstance(error, MaybeSentError) or (isinstance(error, NotSentError) and not error.permanent):
                continue
            raise UsageError(f"{shown} cannot be read: {why}") from None
        if answer.status == 200 and len(answer.body) <= most:
            return answer.body
        why = f"the server answered {answer.status}" if answer.status != 200 else f"it has more than {most} bytes"
        if answer.status not in _BUSY:
            raise UsageError(f"{shown} cannot be read: {why}. Check the address, and whether everyone may read it")
    raise IncompleteError(f"{shown} cannot be read: {why}. Run the same command again later")


def _parts(address: str) -> SplitResult:
    """The parts of an address on the web, whose query is kept out of every text from now on."""
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.username is None
    except ValueError:
        usable = False
    if not usable or not address.isprintable() or " " in address:
        raise UsageError("expected an address such as https://host/photographs.txt, without a user name; got another")
    if parts.query:
        Secret(parts.query)
    return parts


def _shown(address: str) -> str:
    """An address for people and documents: without what may let its holder in."""
    return address if is_bucket(address) else redact(address.partition("?")[0].partition("#")[0])


def _place(shown: str) -> str:
    """Where a fetched picture lies below its folder: at the parts of its address, so that messages name it."""
    scheme, _, rest = shown.partition("://")
    parts = [part if is_bucket(shown) else unquote(part) for part in rest.split("/") if part]
    for part in parts:
        if part in (".", "..") or set(part) & {"/", "\0"} or len(os.fsencode(part)) > _LONGEST_PART:
            raise UsageError(f"expected names that files can have; {printable(shown)} has none. Rename the picture")
    if len(parts) < 2:
        raise UsageError(f"expected the address of a picture or a list (.txt); {printable(shown)} names none")
    return "/".join([scheme, *parts])
