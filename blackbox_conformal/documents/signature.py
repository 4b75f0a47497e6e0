"""Who vouches for a paper (a calibration or a certificate): its signature, and the keys that a reader trusts."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from blackbox_conformal.documents import ed25519
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.support.canonical import canonical_json
from blackbox_conformal.support.text import LONGEST_NAME, printable

PREFIX = "ed25519:"
DOMAIN = b"blackbox-conformal signature 1\n"
"""What every signed message begins with, so that no signature of this package is one of anything else."""
_LARGEST_KEY_FILE = 2**20
_KEY = "^ed25519:[0-9a-f]{64}$"


def checked_name(name: str) -> str:
    """`name`, if it is one line that shows as it is."""
    if not name or name != name.strip() or printable(name, LONGEST_NAME) != name:
        raise UsageError(
            f"expected a name of 1 to {LONGEST_NAME} characters that show, without spaces at its ends; got "
            f"{printable(name)!r}"
        )
    return name


def signer_words(key: str, name: str) -> str:
    """Key and claimed name, in words."""
    return f"{key} (says it is {json.dumps(name, ensure_ascii=False)})"


class Signature(BaseModel):
    """A signature of a paper.

    Attributes
    ----------
    format, version
        Of the paper.
    key
        The signer's public key: ``ed25519:`` and 64 hexadecimal digits.
    name
        Who the signer says it is. The owner of a key can claim any name.
    value
        The signature of `message`: 128 hexadecimal digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: str = Field(max_length=LONGEST_NAME)
    version: int
    key: str = Field(pattern=_KEY)
    name: Annotated[str, AfterValidator(checked_name)]
    value: str = Field(pattern="^[0-9a-f]{128}$")

    def message(self, digest: str) -> bytes:
        """The signed bytes: everything here but the signature itself, and the digest of the paper's content."""
        # The domain comes first, so that the signature can be one of nothing else.
        return DOMAIN + canonical_json({**self.model_dump(exclude={"value"}), "digest": digest})

    @property
    def signer(self) -> str:
        """Key and claimed name, in words."""
        return signer_words(self.key, self.name)

    def is_of(self, paper_format: str, version: int | None, digest: str) -> bool:
        """Whether it is a signature of the paper with this format, version (None: any) and digest of its content."""
        if self.format != paper_format or version not in (None, self.version):
            return False
        # Keys and signatures are hexadecimal by the fields' patterns, so these cannot fail.
        public = bytes.fromhex(self.key.removeprefix(PREFIX))
        return ed25519.verifies(public, self.message(digest), bytes.fromhex(self.value))


@dataclass(frozen=True, slots=True)
class Vouching:
    """Who vouches for a paper, as far as it can be told.

    Attributes
    ----------
    signature
        None: the paper is not signed.
    checked
        Whether the signature was checked; it is not where the extra ``sign`` is missing.
    trusted
        Whether it was checked and is by a key that the reader trusts.
    """

    signature: Signature | None
    checked: bool = False
    trusted: bool = False

    @classmethod
    def of(
        cls,
        signature: Signature | None,
        paper: str,
        paper_format: str,
        version: int | None,
        digest: str,
        trusted: Collection[str] = (),
    ) -> "Vouching":
        """Check a signature; `paper` says in the message what it belongs to."""
        # Without the package nothing is claimed: the signature is shown as not checked.
        if signature is None or not ed25519.is_installed():
            return cls(signature)
        try:
            genuine = signature.is_of(paper_format, version, digest)
        except UsageError as error:
            raise CheckFailedError(f"{paper}: its signature is broken: {error}") from None
        if not genuine:
            raise CheckFailedError(
                f"{paper}: its signature is broken: it is none by {signature.signer} of what stands there. Get the "
                "paper again from its signer"
            )
        # Trusted only after the check: a name alone proves nothing.
        return cls(signature, True, signature.key in trusted)

    def words(self, unknown: str = "you have not told verify that you trust this key") -> str:
        """Who vouches, for people; `unknown` is said of a key that is not trusted."""
        if self.signature is None:
            return "not signed, so no key vouches for it"
        if not self.checked:
            return f"carries a signature by {self.signature.signer}, which is not checked: {ed25519.INSTALL}"
        signed = f"signed by {self.signature.signer}"
        return f"{signed}, a key that you trust" if self.trusted else f"{signed}; {unknown}"

    def to_json(self) -> dict[str, Any]:
        """The same for scripts."""
        signature = self.signature
        return {
            "key": None if signature is None else signature.key,
            "name": None if signature is None else signature.name,
            "checked": self.checked,
            "trusted": self.trusted,
        }

    def require(self, paper: str, *, trusted: bool) -> None:
        """Refuse a paper that no key vouches for or, with `trusted`, no trusted key."""
        if self.signature is not None and not self.checked:
            ed25519.library()
        if self.signature is None or (trusted and not self.trusted):
            wanted = "a signature by a key that you trust (--trust)" if trusted else "a signature"
            raise CheckFailedError(f"{paper}: expected {wanted}; it is {self.words()}. Get it from somebody you trust")


def trusted_keys(texts: Sequence[str]) -> frozenset[str]:
    """The public keys in `texts`, each a key or the path of a file with one key at the start of each line.

    In a file anything may follow a key after a space, such as a name, and lines that begin with ``#`` are left out.
    """
    keys: set[str] = set()
    for text in texts:
        lines = [text] if text.startswith(PREFIX) else _lines(Path(text))
        keys.update(_key(line.split(maxsplit=1)[0], text) for line in lines)
    return frozenset(keys)


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _LARGEST_KEY_FILE:
            raise UsageError(f"{path}: expected a file of public keys below {_LARGEST_KEY_FILE} bytes; it is larger")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"expected a public key ({PREFIX}…) or a file of such keys; {printable(str(path))} cannot be read "
            f"({type(error).__name__})"
        ) from None
    # A private key in a list of public ones is about to be passed on by mistake.
    if "PRIVATE KEY" in text:
        raise UsageError(
            f"{path}: expected public keys; this is a private key, which its owner alone may have. Give what "
            "`blackbox-conformal key show FILE` prints"
        )
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path}: expected a public key ({PREFIX}…) in each line; got none")
    return lines


def _key(text: str, place: str) -> str:
    digits = text.removeprefix(PREFIX)
    if not text.startswith(PREFIX) or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise UsageError(
            f"{printable(place)}: expected a public key, {PREFIX} and 64 hexadecimal digits; got {printable(text)!r}"
        )
    ed25519.refuse_odd_key(bytes.fromhex(digits))
    return text
