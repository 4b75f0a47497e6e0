"""A key to sign with: a private Ed25519 key and the name of its owner, in a file of the owner's own."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from blackbox_conformal.documents.ed25519 import PrivateKey
from blackbox_conformal.documents.signature import PREFIX, Signature, checked_name, signer_words
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.files import refusal

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
        """One drawn at random.

        Raises
        ------
        UsageError
            The name cannot be used, or the extra ``sign`` is not installed.
        """
        return cls(checked_name(name), PrivateKey.new())

    @property
    def key(self) -> str:
        """The public key as text, for others to know the owner's signatures by."""
        return PREFIX + self._private.public.hex()

    @property
    def signer(self) -> str:
        """Key and name, in words."""
        return signer_words(self.key, self.name)

    def to_pem(self) -> bytes:
        """The private key as unencrypted PEM (PKCS #8), for what signs by itself; it is not to be written anywhere."""
        return self._private.to_pem(None)

    def sign(self, paper_format: str, version: int, digest: str) -> Signature:
        """The signature of the paper with this format, version and digest of its content; the same each time."""
        # The message covers every field but the value, so it is built with a blank one.
        blank = Signature(format=paper_format, version=version, key=self.key, name=self.name, value="0" * 128)
        return blank.model_copy(update={"value": self._private.sign(blank.message(digest)).hex()})

    def save(self, path: str | Path, passphrase: str | None = None) -> Path:
        """Write the file, readable by its owner alone; no file is overwritten.

        Raises
        ------
        UsageError
            There is a file of that name, or it cannot be written.
        """
        path = Path(path)
        pem = self._private.to_pem(None if passphrase is None else passphrase.encode())
        handle = None
        try:
            # Made for its owner alone from the first moment, and never over another file.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(f"Name: {self.name}\n".encode() + pem)
                file.flush()
                # On disk before anything is signed with it: a lost key cannot be made again.
                os.fsync(file.fileno())
        except FileExistsError:
            raise UsageError(f"{path} exists, and a key is never overwritten; name another file") from None
        except OSError as error:
            if handle is not None:
                # Half a key is none; nothing else can have made this file, as it is new.
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
    """Whether a key file needs a passphrase."""
    pem = _PEM.search(secret_text(Path(path)))
    return pem is not None and pem[1] is not None


def secret_text(path: Path) -> str:
    """The text of a file with a private key, which its owner alone may read; errors as for `is_encrypted`."""
    try:
        # Owner and rights are asked of the open file, so that no other can take its place in between.
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
