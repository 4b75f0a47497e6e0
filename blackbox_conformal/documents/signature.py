"""Signatures on papers (calibrations, certificates): who vouches, and a signer's private key."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from blackbox_conformal.documents import ed25519
from blackbox_conformal.documents.ed25519 import PREFIX, PrivateKey
from blackbox_conformal.documents.trust_policy import Trusted, TrustPolicy
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.support.canonical import canonical_json
from blackbox_conformal.support.files import refusal
from blackbox_conformal.support.text import LONGEST_NAME, printable

DOMAIN = b"blackbox-conformal signature 1\n"
"""The beginning of every signed message, so that this package's signatures fit nothing else."""
_KEY = "^ed25519:[0-9a-f]{64}$"


def checked_name(name: str) -> str:
    """Return `name` if it is one line without hidden characters."""
    if not name or name != name.strip() or printable(name, LONGEST_NAME) != name:
        raise UsageError(
            f"expected a name of 1 to {LONGEST_NAME} characters that show, without spaces at its ends; got "
            f"{printable(name)!r}"
        )
    return name


def signer_words(key: str, name: str) -> str:
    """Write a key and its claimed name."""
    return f"{key} (says it is {json.dumps(name, ensure_ascii=False)})"


class Signature(BaseModel):
    """A signature on a paper of this `format` and `version`.

    `key`: the signer's public key, ``ed25519:`` and 64 hexadecimal digits. `name`: who the signer claims to be; a key's
    owner can claim any name. `value`: the signature of `message`, 128 hexadecimal digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: str = Field(max_length=LONGEST_NAME)
    version: int
    key: str = Field(pattern=_KEY)
    name: Annotated[str, AfterValidator(checked_name)]
    value: str = Field(pattern="^[0-9a-f]{128}$")

    def message(self, digest: str) -> bytes:
        """Return the signed bytes: every field but the signature itself, and the digest of the paper's content."""
        # The domain comes first, so that the signature fits nothing else.
        return DOMAIN + canonical_json({**self.model_dump(exclude={"value"}), "digest": digest})

    @property
    def signer(self) -> str:
        return signer_words(self.key, self.name)

    @property
    def kind(self) -> str:
        """Return what kind of paper it signs, as a `TrustPolicy` names it."""
        return self.format.removeprefix("blackbox-conformal ")

    def is_of(self, paper_format: str, version: int | None, digest: str) -> bool:
        """Tell whether this signs the paper with the format, version (None: any) and digest."""
        if self.format != paper_format or version not in (None, self.version):
            return False
        # These cannot fail: patterns keep keys and signatures hexadecimal.
        public = bytes.fromhex(self.key.removeprefix(PREFIX))
        return ed25519.verifies(public, self.message(digest), bytes.fromhex(self.value))


@dataclass(frozen=True, slots=True)
class Vouching:
    """A paper's signature, and how far the reader may rely on it.

    `signature`: None if the paper is not signed. `checked`: the signature was checked, which needs the extra ``sign``.
    `trusted`: it was checked, and the reader trusts its key with such papers. `why`: why not, although the reader knows
    the key.
    """

    signature: Signature | None
    checked: bool = False
    trusted: bool = False
    why: str = ""

    @classmethod
    def of(
        cls,
        signature: Signature | None,
        paper: str,
        paper_format: str,
        version: int | None,
        digest: str,
        trusted: Trusted = (),
    ) -> "Vouching":
        """Check a signature; `paper` names the paper in messages, `trusted` the keys that the reader trusts."""
        # Without the package nothing is claimed: the signature shows as not checked.
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
        why = TrustPolicy.of(trusted).refusal(signature.key, signature.kind)
        return cls(signature, True, why == "", why or "")

    def words(self, unknown: str = "you have not told verify that you trust this key") -> str:
        """Say who vouches; `unknown` is said of a key that is not trusted."""
        if self.signature is None:
            return "not signed, so no key vouches for it"
        if not self.checked:
            return f"carries a signature by {self.signature.signer}, which is not checked: {ed25519.INSTALL}"
        signed = f"signed by {self.signature.signer}"
        return f"{signed}, a key that you trust" if self.trusted else f"{signed}; {self.why or unknown}"

    def to_json(self) -> dict[str, Any]:
        signature = self.signature
        return {
            "key": None if signature is None else signature.key,
            "name": None if signature is None else signature.name,
            "checked": self.checked,
            "trusted": self.trusted,
        }

    def require(self, paper: str, *, trusted: bool) -> None:
        """Refuse a paper without a key that vouches or, with `trusted`, without a trusted key."""
        if self.signature is not None and not self.checked:
            ed25519.library()
        if self.signature is None or (trusted and not self.trusted):
            wanted = "a signature by a key that you trust (--trust)" if trusted else "a signature"
            raise CheckFailedError(f"{paper}: expected {wanted}; it is {self.words()}. Get it from somebody you trust")


# A key to sign with: a private Ed25519 key and its owner's name, in a file of the owner.

_LARGEST_FILE = 2**16
_NAME = re.compile(r"^Name: (.+)$", re.MULTILINE)
_PEM = re.compile(r"^-----BEGIN (ENCRYPTED )?PRIVATE KEY-----$.*?^-----END (ENCRYPTED )?PRIVATE KEY-----$", re.M | re.S)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its owner's name.

    Its file is PEM (PKCS #8), as other programs read it, below a line ``Name: …``.
    """

    name: str
    _private: PrivateKey = field(repr=False)

    @classmethod
    def new(cls, name: str) -> "SigningKey":
        """Draw a key at random.

        Raises
        ------
        UsageError
            The name cannot be used, or the extra ``sign`` is not installed.
        """
        return cls(checked_name(name), PrivateKey.new())

    @property
    def key(self) -> str:
        """Return the public key as text, by which others know the owner's signatures."""
        return PREFIX + self._private.public.hex()

    @property
    def signer(self) -> str:
        return signer_words(self.key, self.name)

    def to_pem(self) -> bytes:
        """Return the private key as unencrypted PEM (PKCS #8), for libraries that sign; never write it anywhere."""
        return self._private.to_pem(None)

    def sign(self, paper_format: str, version: int, digest: str) -> Signature:
        """Sign the paper with this format, version and digest; the same each time."""
        # The message covers every field but the value, so the value is blank at first.
        blank = Signature(format=paper_format, version=version, key=self.key, name=self.name, value="0" * 128)
        return blank.model_copy(update={"value": self._private.sign(blank.message(digest)).hex()})

    def save(self, path: str | Path, passphrase: str | None = None) -> Path:
        """Write the file, readable by its owner alone; overwrite nothing.

        Raises
        ------
        UsageError
            The file exists or cannot be written.
        """
        path = Path(path)
        pem = self._private.to_pem(None if passphrase is None else passphrase.encode())
        handle = None
        try:
            # Private from the first moment, and never over another file.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(f"Name: {self.name}\n".encode() + pem)
                file.flush()
                # On disk before the key signs anything, because a lost key cannot be made again.
                os.fsync(file.fileno())
        except FileExistsError:
            raise UsageError(f"{path} exists, and a key is never overwritten; name another file") from None
        except OSError as error:
            if handle is not None:
                # Half a key is useless; the file is new, so nothing else made it.
                path.unlink(missing_ok=True)
            raise refusal(path, error) from None
        return path

    @classmethod
    def load(cls, path: str | Path, passphrase: str | None = None) -> "SigningKey":
        """Read the file.

        Raises
        ------
        UsageError
            It cannot be read, others can read it, it holds no key with a name, or the passphrase is wrong.
        """
        path = Path(path)
        text = secret_text(path)
        pem, name = _PEM.search(text), _NAME.search(text.partition("-----BEGIN")[0])
        if pem is None:
            raise UsageError(
                f"{path}: expected a private key; it holds none. `blackbox-conformal key new FILE` makes one"
            )
        if name is None:
            raise UsageError(f"{path}: expected the signer's name; add a first line such as Name: Laboratory X")
        if passphrase is None and pem[1]:
            raise UsageError(f"{path}: expected the passphrase of the key; got none")
        try:
            secret = passphrase.encode() if passphrase is not None and pem[1] else None
            return cls(checked_name(name[1]), PrivateKey.from_pem(pem[0].encode(), secret))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None


def is_encrypted(path: str | Path) -> bool:
    """Tell whether a key file needs a passphrase."""
    pem = _PEM.search(secret_text(Path(path)))
    return pem is not None and pem[1] is not None


def secret_text(path: Path) -> str:
    """Read a file with a private key that its owner alone may read; errors as for `is_encrypted`."""
    try:
        # The open file tells owner and rights, so that nobody can swap it in between.
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and status.st_uid != os.geteuid():
                raise UsageError(
                    f"{path} belongs to user {status.st_uid}, not to you ({os.geteuid()}), and he could sign in your "
                    f"name; make a key of your own, or `chown {os.geteuid()} {path}` if it is yours"
                )
            if os.name == "posix" and status.st_mode & 0o077:
                raise UsageError(f"{path} can be read or written by others, so it is no secret; `chmod 600 {path}`")
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise UsageError(f"{path}: expected a private key below {_LARGEST_FILE} bytes; it is larger")
        return content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: expected a key file that can be read; {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: expected a private key in PEM form; this is another file") from None
