"""The last line of a page says what it is about and the page's own digest, by which a page is known again.

A page that is as it was written holds nothing that cannot be made again, so it may be replaced.
"""

from pathlib import Path

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_new


def write_page(text: str, about: str, path: Path, *, force: bool = False) -> Path:
    """Write a page; an unchanged one that is `about` the same, such as ``report of sha256:…``, is replaced.

    Raises
    ------
    UsageError
        `path` exists with other content and `force` is not set.
    """
    return write_new(path, _sealed(text.encode(), about), force=force or is_page(path, about))


def is_page(path: Path, about: str) -> bool:
    """Whether `path` is a page `about` this, as it was written."""
    try:
        return about_of(path.read_bytes()) == about
    except OSError:
        return False


def refuse_other(path: Path, about: str, what: str, option: str) -> None:
    """Refuse, before anything is drawn, to overwrite a file that is not an earlier page `about` this.

    Raises
    ------
    UsageError
        There is such a file at `path`; the message calls the page `what`, and names what to give instead.
    """
    if path.exists() and not is_page(path, about):
        raise UsageError(f"{path} exists and is not {what} as it was written; give --force or another --{option}")


def about_of(content: bytes) -> str | None:
    """What a page says that it is about; None: it is not as a page was written."""
    page, seal, line = content.rpartition(b"\n<!-- ")
    about = line.partition(b", ")[0].decode("ascii", "replace")
    return about if seal and content == _sealed(page, about) else None


def _sealed(page: bytes, about: str) -> bytes:
    return page + f"\n<!-- {about}, {digest_bytes(page)} -->\n".encode()
