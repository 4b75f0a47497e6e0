"""Whom a reader trusts: which keys may sign which papers, and until when. A key alone is the short form."""

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from blackbox_conformal.documents import ed25519
from blackbox_conformal.documents.ed25519 import PREFIX
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.wording import complaint

_LARGEST_FILE = 2**20
Kind = Literal["calibration", "certificate", "claim", "claim answers", "claim manifest", "picture", "watch head"]
"""What a key signs: papers by their format, and pictures with Content Credentials."""


def _public_key(text: str) -> str:
    digits = text.removeprefix(PREFIX)
    todo = "Give what `blackbox-conformal key show FILE` prints before the name"
    if not text.startswith(PREFIX) or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise UsageError(f"expected a public key, {PREFIX} and 64 hexadecimal digits; got {printable(text)!r}. {todo}")
    ed25519.refuse_odd_key(bytes.fromhex(digits))
    return text


class Signer(BaseModel):
    """A key that a reader trusts.

    `papers`: kinds that it may sign; None for all. `until`: the last day (UTC) on which it may. `revoked`: the day from
    which on nothing counts that it signed, whenever that was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Annotated[str, AfterValidator(_public_key)]
    papers: Annotated[tuple[Kind, ...], Field(min_length=1, strict=False)] | None = None
    until: date | None = None
    revoked: date | None = None

    def refusal(self, kind: str, stamped: datetime | None = None) -> str:
        """Say why its signature on a paper of this kind, `stamped` then, does not count; empty where it does."""
        if self.papers is not None and kind not in self.papers:
            return f"your policy lets this key sign: {', '.join(self.papers)}; this is a {kind}"
        if self.revoked is not None:
            return f"your policy revoked this key on {self.revoked}, and no time stamp helps a key that others may have"
        day = (stamped or datetime.now(UTC)).date()
        if self.until is not None and day > self.until:
            shown = "nothing shows that the signature is as old" if stamped is None else f"its time stamp is of {day}"
            return f"your policy lets this key sign until {self.until}, and {shown}"
        return ""


class _WithKey(Protocol):
    @property
    def key(self) -> str: ...


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    signer: Annotated[tuple[Signer, ...], Field(min_length=1, strict=False)]
    authorities: Annotated[tuple[str, ...], Field(strict=False)] = ()


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The keys that a reader trusts, and what each may sign; false if there are none.

    `authorities`: certificates (PEM) of trusted time stamp authorities. `stamped`: when one of them stamped the paper;
    its signer is judged at that time, otherwise now.
    """

    signers: tuple[Signer, ...] = ()
    authorities: tuple[str, ...] = ()
    stamped: datetime | None = None

    def __post_init__(self) -> None:
        keys = [one.key for one in self.signers]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise UsageError(
                f"expected each trusted key once; {twice[0]} stands twice, for different papers or days. Leave one out"
            )

    @classmethod
    def of(cls, trusted: "Trusted") -> "TrustPolicy":
        """Return a policy as it is, and public keys as one that lets them sign everything for ever."""
        return trusted if isinstance(trusted, TrustPolicy) else cls(tuple(map(_of_everything, dict.fromkeys(trusted))))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy: a TOML file with a table ``[[signer]]`` for each key.

        Raises
        ------
        UsageError
            The file cannot be read, or says what a policy does not know.
        """
        try:
            file = _File.model_validate(tomllib.loads(_text(Path(path))))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path}: expected a policy in TOML; {printable(str(error))}") from None
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = printable(".".join(map(str, problem["loc"])))
            raise UsageError(f"{path}: {where}: {complaint(problem)}") from None
        # A policy moves with the certificates beside it.
        return cls(file.signer, tuple(_authority(Path(path).parent / name) for name in file.authorities))

    @classmethod
    def read(cls, texts: Sequence[str]) -> "TrustPolicy":
        """Read keys, files with one key at the start of each line, and policies (``.toml``), as `--trust` has them.

        In a file of keys, text after the key and lines that begin with ``#`` are ignored.
        """
        read = [cls.load(text) if text.endswith(".toml") else cls(tuple(_alone(text))) for text in texts]
        signers = dict.fromkeys(signer for one in read for signer in one.signers)
        return cls(tuple(signers), tuple(authority for one in read for authority in one.authorities))

    def __bool__(self) -> bool:
        return bool(self.signers)

    def with_own(self, own: "_WithKey | None") -> "TrustPolicy":
        """Return a policy in which the reader's own signing key may sign everything, unless the policy names it."""
        if own is None or any(one.key == own.key for one in self.signers):
            return self
        return replace(self, signers=(*self.signers, _of_everything(own.key)))

    def refusal(self, key: str, kind: str) -> str | None:
        """Say why a signature by `key` on a paper of this kind does not count.

        Returns
        -------
        str or None
            Empty where it counts; None where the reader does not know the key.
        """
        return next((one.refusal(kind, self.stamped) for one in self.signers if one.key == key), None)


Trusted: TypeAlias = TrustPolicy | Collection[str]
"""What a reader trusts: a policy, or public keys that may sign everything."""


def _of_everything(key: str) -> Signer:
    # Checked first, so that the error is ours.
    return Signer(key=_public_key(key))


def _alone(text: str) -> list[Signer]:
    lines = [text]
    if not text.startswith(PREFIX):
        content = _text(Path(text))
        lines = [line for line in map(str.strip, content.splitlines()) if line and not line.startswith("#")]
        if not lines:
            raise UsageError(f"{printable(text)}: expected a public key ({PREFIX}…) in each line; got none")
    try:
        return [_of_everything(line.split(maxsplit=1)[0]) for line in lines]
    except UsageError as error:
        raise UsageError(f"{printable(text)}: {error}") from None


def _authority(path: Path) -> str:
    text = _text(path)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(
            f"{printable(str(path))}: expected the certificate (PEM) of a time stamp authority; it holds none. "
            "`openssl x509 -in FILE -inform der` writes one as PEM"
        )
    return text


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path}: expected a file of public keys below {_LARGEST_FILE} bytes; it is larger")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"expected a public key ({PREFIX}…), a file of such keys or certificates, or a policy (.toml); "
            f"{printable(str(path))} cannot be read ({type(error).__name__})"
        ) from None
    # The user is about to pass on a private key by mistake.
    if "PRIVATE KEY" in text:
        raise UsageError(
            f"{path}: expected public keys; this is a private key, which its owner alone may have. Give what "
            "`blackbox-conformal key show FILE` prints"
        )
    return text
