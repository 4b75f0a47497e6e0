"""One base for the documents that this package keeps as files: content, size limit, signature.

A file may come from anyone. It is refused, in one sentence with what to do next, if it is too large, if readers may
disagree about its JSON, or if its format, version or fields are wrong.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from blackbox_conformal.documents.signature import Signature, Vouching
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.errors import BlackboxConformalError, FileFormatError
from blackbox_conformal.support.canonical import digest_json, strict_json
from blackbox_conformal.support.files import Content, write_new
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.wording import complaint, shown


class _Paper(Protocol):
    @property
    def digest(self) -> str: ...
    @property
    def signature(self) -> Signature | None: ...


if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey

Document = TypeVar("Document")
Paper = TypeVar("Paper", bound=_Paper)

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM")  # First bytes of picture files.
_LONGEST_PATH = 1000

_EXACT = ConfigDict(extra="forbid", ser_json_inf_nan="strings")
"""JSON has no numbers for NaN and infinities, so they are text."""


class Stored(Generic[Document]):
    """A way to write and read documents of one kind (a dataclass or a pydantic model).

    The file holds `name`, as ``format`` behind this package's, and `version`. `anew` says, without a full stop, what to
    do about an unreadable file. A file above `limit` bytes is not read. `style`: arguments of `json.dumps`.
    """

    earlier: ClassVar[Mapping[int, str]] = {}  # Earlier versions → their fault, as it follows in a sentence.

    def __init__(
        self, kind: type[Document], name: str, version: int, *, anew: str, limit: int = 64 * 2**20, **style: Any
    ) -> None:
        self.format, self.version = f"blackbox-conformal {name}", version
        self._kind, self._name, self._file, self._anew = kind, name, f"{name} file", anew
        self.limit, self._style = limit, {"indent": 1, **style}

    @cached_property
    def _form(self) -> TypeAdapter[tuple[Document]]:
        # Within a tuple, dataclasses and the dataclasses that they hold take this configuration.
        return TypeAdapter(tuple[self._kind], config=_EXACT)  # type: ignore[name-defined]

    def content(self, document: Document) -> dict[str, Any]:
        """Return the file's content, as JSON carries it."""
        return {"format": self.format, "version": self.version, **self._fields(document)}

    def _fields(self, document: Document) -> dict[str, Any]:
        (fields,) = json.loads(self._form.dump_json((document,)))
        return cast(dict[str, Any], fields)

    def _document(self, fields: dict[str, Any]) -> Document:
        (document,) = self._form.validate_python((fields,))
        return document

    def write(self, document: Document, path: Path) -> Path:
        """Write the file in place of an earlier one."""
        return write_new(path, self._encoded(self.content(document)), force=True)

    def _encoded(self, content: dict[str, Any]) -> Content:
        return self.text(content).encode()

    def text(self, content: dict[str, Any]) -> str:
        return json.dumps(content, ensure_ascii=False, **self._style) + "\n"

    def read(self, path: Path) -> Document:
        return self.parse(self.bytes_of(path), printable(path, _LONGEST_PATH))

    def bytes_of(self, path: Path) -> bytes:
        """Read the file's bytes; errors as for `read`."""
        with self.refusing(printable(path, _LONGEST_PATH)):
            # A pipe or device would be read without end.
            if path.exists() and not path.is_file():
                raise FileFormatError(f"expected a {self._file}; this is no file. {self._anew}")
            # Asked before reading, so that a huge file is never in memory.
            if path.stat().st_size > self.limit:
                raise FileFormatError(f"expected a {self._file} below {self.limit} bytes; it is larger. {self._anew}")
            return path.read_bytes()

    def parse(self, data: bytes, place: str = "") -> Document:
        """Build the document from the bytes of the file at `place`; errors as for `read`."""
        with self.refusing(place):
            return self._built(self._decoded(data))

    def _decoded(self, data: bytes) -> Any:
        try:
            return strict_json(data)
        except FileFormatError as error:
            raise FileFormatError(f"{error}. {self._anew}") from None
        except (ValueError, RecursionError) as error:
            if data.startswith(PICTURES):
                raise FileFormatError(f"expected a {self._file}; this is a picture. {self._anew}") from None
            raise FileFormatError(
                f"expected JSON; {type(error).__name__}: the {self._file} is damaged. {self._anew}"
            ) from None

    def _built(self, content: Any) -> Document:
        self._check_version(content)
        return self._document({name: value for name, value in content.items() if name not in ("format", "version")})

    def _check_version(self, content: Any) -> None:
        if not isinstance(content, dict) or content.get("format") != self.format:
            raise FileFormatError(
                f"expected a {self.format}; this is another file, or an earlier version wrote it. {self._anew}"
            )
        version = content.get("version")
        if type(version) is int and version > self.version:
            raise FileFormatError(
                f"was written in format {version}, this version reads up to {self.version}. Upgrade blackbox-conformal"
            )
        if version != self.version or type(version) is not int:
            # To Python, booleans are whole numbers.
            why = self.earlier.get(version, "") if type(version) is int else ""
            raise FileFormatError(
                f"was written in format {shown(version)}{why}; this version reads {self.version}. {self._anew}"
            )

    @contextmanager
    def refusing(self, place: str) -> Iterator[None]:
        """Turn any fault of the file at `place` into the one error for it."""
        at = place and f"{place}: "
        try:
            yield
        except OSError as error:
            raise FileFormatError(f"{at}expected a readable {self._file}; {error.strerror}") from None
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            # Our own sentence says more than the library's.
            if isinstance(ours := problem.get("ctx", {}).get("error"), BlackboxConformalError):
                raise FileFormatError(f"{at}{ours}") from None
            where = printable(".".join(map(str, problem["loc"][1:])) or "content")
            raise FileFormatError(f"{at}damaged {self._file}: {where}: {complaint(problem)}. {self._anew}") from None
        except BlackboxConformalError as error:
            raise FileFormatError(f"{at}{error}") from None
        # Whatever our own code raises on a damaged file is the file's damage.
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise FileFormatError(f"{at}damaged {self._file} ({said}). {self._anew}") from None


class StoredPaper(Stored[Paper]):
    """Documents with a digest of their content and perhaps a signature.

    A file is refused, too, if this version would write it differently.
    """

    def _fields(self, document: Paper) -> dict[str, Any]:
        # The signature signs the digest, so the digest leaves it out.
        (fields,) = self._form.dump_python((document,), mode="json", exclude={0: {"signature"}})
        return cast(dict[str, Any], fields)

    def digest(self, paper: Paper) -> str:
        """Return ``sha256:…`` of everything but the signature."""
        return digest_json(self.content(paper))

    def paper_text(self, paper: Paper) -> str:
        """Write the file: content, digest, and the signature, if any."""
        closing: dict[str, Any] = {"digest": paper.digest}
        if paper.signature is not None:
            closing["signature"] = paper.signature.model_dump(mode="json")
        return self.text({**self.content(paper), **closing})

    def _built(self, content: Any) -> Paper:
        self._check_version(content)
        closing = {name: content.pop(name) for name in ("digest", "signature") if name in content}
        digest = closing.pop("digest", None)
        # The digest is of the file as read, before any default is filled in.
        if digest != digest_json(content):
            raise FileFormatError(f"was changed after it was written: its digest does not match. {self._anew}")
        paper = super()._built({**content, **closing})
        # An unedited file is written again exactly as read.
        if digest != paper.digest:
            raise FileFormatError(f"says what this version would not write. {self._anew}")
        return paper

    def signature(self, paper: Paper, key: "SigningKey") -> Signature:
        return key.sign(self.format, self.version, paper.digest)

    def vouching(self, paper: Paper, trusted: Trusted) -> Vouching:
        return Vouching.of(paper.signature, f"the {self._name}", self.format, self.version, paper.digest, trusted)
