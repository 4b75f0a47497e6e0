"""One base for the documents that this package keeps as files: what they hold, how large they may be, who vouches.

A file may come from anyone. It is refused, in one sentence with what to do next, where it is too large, no JSON that
all readers read alike, of another format or version, or anything else than the fields of its kind.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from blackbox_conformal.canonical import strict_json
from blackbox_conformal.errors import BlackboxConformalError, FileFormatError
from blackbox_conformal.files import Content, write_new
from blackbox_conformal.wording import complaint, shown

Document = TypeVar("Document")

_EXACT = ConfigDict(extra="forbid", ser_json_inf_nan="strings")
"""JSON has no numbers for NaN and infinities, so they are written as text."""


class Stored(Generic[Document]):
    """How the documents of one kind are written and read.

    Parameters
    ----------
    kind
        A dataclass or a model of pydantic: its fields are what the file holds.
    name, version
        What stands in the file as ``format`` (behind this package's name) and as ``version``.
    anew
        What to do about a file that cannot be read: a sentence without its full stop.
    limit
        Bytes; a file that is larger is not read.
    """

    def __init__(self, kind: type[Document], name: str, version: int, *, anew: str, limit: int = 64 * 2**20) -> None:
        self.format, self.version = f"blackbox-conformal {name}", version
        self._kind, self._name, self._anew, self._limit = kind, name, anew, limit

    @cached_property
    def _form(self) -> TypeAdapter[tuple[Document]]:
        # Within a tuple, dataclasses take this configuration, and so do those that they hold.
        return TypeAdapter(tuple[self._kind], config=_EXACT)  # type: ignore[name-defined]

    def content(self, document: Document) -> dict[str, Any]:
        """What the file holds, as JSON carries it."""
        (content,) = json.loads(self._form.dump_json((document,)))
        return {"format": self.format, "version": self.version, **content}

    def write(self, document: Document, path: Path) -> Path:
        """Write the file; an earlier one is replaced."""
        return write_new(path, self._encoded(self.content(document)), force=True)

    def _encoded(self, content: dict[str, Any]) -> Content:
        return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"

    def read(self, path: Path) -> Document:
        """Read the file.

        Raises
        ------
        FileFormatError
            It is missing, too large, damaged, or another file.
        """
        return self.parse(self.bytes_of(path), str(path))

    def bytes_of(self, path: Path) -> bytes:
        """The bytes of the file; errors as for `read`."""
        with self.refusing(str(path)):
            if path.stat().st_size > self._limit:
                raise FileFormatError(f"expected a {self._name} below {self._limit} bytes; it is larger. {self._anew}")
            return path.read_bytes()

    def parse(self, data: bytes, place: str) -> Document:
        """The document that the bytes of the file at `place` are; errors as for `read`."""
        with self.refusing(place):
            return self._built(self._decoded(data))

    def _decoded(self, data: bytes) -> Any:
        try:
            return strict_json(data)
        except FileFormatError as error:
            raise FileFormatError(f"{error}. {self._anew}") from None
        except (ValueError, RecursionError) as error:
            raise FileFormatError(
                f"expected JSON; {type(error).__name__}: the {self._name} is damaged. {self._anew}"
            ) from None

    def _built(self, content: Any) -> Document:
        """The document with this content, of which nothing is known."""
        if not isinstance(content, dict) or content.pop("format", None) != self.format:
            raise FileFormatError(
                f"expected a {self.format}; this is another file, or an earlier version wrote it. {self._anew}"
            )
        version = content.pop("version", None)
        if type(version) is int and version > self.version:
            raise FileFormatError(
                f"was written in format {version}, this version reads up to {self.version}. Upgrade blackbox-conformal"
            )
        if version != self.version or type(version) is not int:
            raise FileFormatError(
                f"was written in format {shown(version)}, this version reads {self.version}. {self._anew}"
            )
        (document,) = self._form.validate_python((content,))
        return document

    @contextmanager
    def refusing(self, place: str) -> Iterator[None]:
        """Whatever is wrong with the file at `place`, as the one error for it."""
        try:
            yield
        except OSError as error:
            raise FileFormatError(f"{place}: expected a readable {self._name}; {error.strerror}") from None
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"][1:])) or "content"
            raise FileFormatError(
                f"{place}: damaged {self._name}: {where}: {complaint(problem)}. {self._anew}"
            ) from None
        except BlackboxConformalError as error:
            raise FileFormatError(f"{place}: {error}") from None
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise FileFormatError(f"{place}: damaged {self._name} ({said}). {self._anew}") from None
