"""Keeps objects by name, in a folder or a bucket: put if absent, get, head, list.

A bucket such as ``s3://bucket/prefix`` is reached through obstore, which takes keys from the environment. obstore's
texts are never passed on: they may quote a server's answer.
"""

import importlib.util
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from blackbox_conformal.errors import IncompleteError, MissingPackageError, UsageError
from blackbox_conformal.support.files import refusal, write_new, write_once
from blackbox_conformal.support.local_servers import is_loopback_name
from blackbox_conformal.support.secrets import Secret, redact

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Result = TypeVar("Result")

SCHEMES = {"s3": "AWS_ENDPOINT_URL", "gs": "", "az": "AZURE_STORAGE_ENDPOINT"}
"""Kinds of buckets, and the variable that names a server other than the usual one."""

_KEYS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
_LONGEST = 2000
RETRIES = 8
"""Tries after a server does not answer, or answers that it is busy: about a minute in all."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Name of an object below the store's address, its size in bytes, and the tag of its content."""

    name: str
    size: int
    tag: str | None


class ChangedError(IncompleteError):
    """An object has changed since it was listed."""


class BlobStore(Protocol):
    """Contents by names such as ``samples/ab/abcdef``; any thread may call.

    Methods raise `IncompleteError` if the store cannot be reached, and `UsageError` if it refuses.
    """

    @property
    def shown(self) -> str:
        """Return the store's address for people."""

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Keep a content, durable on return, unless the name is taken; return whether it was kept."""

    def replace(self, name: str, content: bytes) -> None:
        """Keep a content in the place of any other."""

    def get(self, name: str, tag: str | None = None) -> bytes | None:
        """Return the content of that name; None if there is none."""

    def head(self, name: str) -> StoredObject | None:
        """Return the facts about the content of that name; None if there is none."""

    def names(self, below: str = "") -> Iterator[StoredObject]:
        """Yield every object whose name starts with the folders `below`; all objects if that is empty."""

    def remove(self, name: str) -> None:
        """Remove the object of that name, if any."""


@dataclass(frozen=True, slots=True)
class BucketAddress:
    scheme: str
    bucket: str
    prefix: str

    @classmethod
    def of_text(cls, text: str) -> "BucketAddress":
        """Parse a text such as ``s3://bucket/photographs``."""
        scheme, separator, rest = text.partition("://")
        bucket, _, prefix = rest.partition("/")
        # Names such as ".." would lead out of the prefix.
        usable = text.isprintable() and len(text) <= _LONGEST and not set(prefix.split("/")[:-1]) & {"", ".", ".."}
        if scheme not in SCHEMES or not separator or not bucket or set(bucket) & set("@:?#\\ ") or not usable:
            raise UsageError(
                f"expected an address such as s3://bucket/photographs; got {redact(text)[:100]!r}. Keys are taken from "
                "the environment, such as AWS_ACCESS_KEY_ID"
            )
        return cls(scheme, bucket, prefix.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def is_bucket(text: str) -> bool:
    """Tell whether a text is meant as the address of a bucket."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def store_at(text: str) -> BlobStore:
    if is_bucket(text):
        return Bucket(BucketAddress.of_text(text))
    if "://" in text:
        raise UsageError(
            f"expected a folder, or an address that starts with s3://, gs:// or az://; got {redact(text)!r}"
        )
    return FolderStore(Path(text))


class FolderStore:
    """A store in a folder of this machine, or of a disk that machines share (see `BlobStore`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def shown(self) -> str:
        return str(self._folder)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_once(path, content)
        except OSError as error:
            raise refusal(path, error) from None

    def replace(self, name: str, content: bytes) -> None:
        write_new(self._folder / name, content, force=True)

    def get(self, name: str, tag: str | None = None) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{self._folder / name} cannot be read: {error.strerror}") from None

    def head(self, name: str) -> StoredObject | None:
        path = self._folder / name
        return StoredObject(name, path.stat().st_size, None) if path.is_file() else None

    def names(self, below: str = "") -> Iterator[StoredObject]:
        for path in sorted((self._folder / below).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield StoredObject(path.relative_to(self._folder).as_posix(), path.stat().st_size, None)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


class Bucket:
    """A store in a bucket, reached through obstore (see `BlobStore`)."""

    def __init__(self, address: BucketAddress) -> None:
        if importlib.util.find_spec("obstore") is None:
            raise MissingPackageError(f"{address} needs obstore: pip install 'blackbox-conformal[objects]'")
        self._address = address
        # Known as secrets from now on, so that no message or log shows them.
        for variable in _KEYS:
            if value := os.environ.get(variable):
                Secret(value)
        self._store = _opened(address)

    @property
    def shown(self) -> str:
        return str(self._address)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        import obstore

        try:
            # One request that creates or fails: two processes cannot both take a name.
            obstore.put(self._store, self._key(name), content, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        except Exception as error:  # noqa: BLE001 - whatever obstore raises is told in our words
            raise self._trouble(error) from None
        return True

    def replace(self, name: str, content: bytes) -> None:
        import obstore

        self._asked(lambda: obstore.put(self._store, self._key(name), content))

    def get(self, name: str, tag: str | None = None) -> bytes | None:
        import obstore

        # Only the listed object: another one under its name has another content.
        options: Any = None if tag is None else {"if_match": tag}
        return self._asked(lambda: bytes(obstore.get(self._store, self._key(name), options=options).bytes()))

    def head(self, name: str) -> StoredObject | None:
        import obstore

        found = self._asked(lambda: obstore.head(self._store, self._key(name)))
        return None if found is None else StoredObject(name, found["size"], found["e_tag"])

    def names(self, below: str = "") -> Iterator[StoredObject]:
        import obstore

        folder = "/".join(filter(None, (self._address.prefix, below)))
        start = len(self._address.prefix) + 1 if self._address.prefix else 0
        pages = iter(obstore.list(self._store, folder or None, chunk_size=1000))
        while (page := self._asked(lambda: next(pages, None))) is not None:
            yield from (StoredObject(found["path"][start:], found["size"], found["e_tag"]) for found in page)

    def remove(self, name: str) -> None:
        import obstore

        self._asked(lambda: obstore.delete(self._store, self._key(name)))

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self._address.prefix, name)))

    def _asked(self, action: Callable[[], Result]) -> Result | None:
        try:
            return action()
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - whatever obstore raises is told in our words
            raise self._trouble(error) from None

    def _trouble(self, error: Exception) -> UsageError | IncompleteError:
        from obstore import exceptions

        text = redact(str(error))
        # Its own text would quote the tag and the address with its signature.
        if isinstance(error, exceptions.PreconditionError):
            return ChangedError(f"an object in {self} was changed while it was being read; run again")
        refused = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
        if refused or "169.254.169" in text or "metadata.google" in text:
            return UsageError(
                f"{self} refuses access, or no key was found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3), "
                "GOOGLE_APPLICATION_CREDENTIALS (gs) or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (az)"
            )
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            return UsageError(f"expected a bucket that exists; {self} does not. Make it, or name another")
        if isinstance(error, exceptions.InvalidPathError):
            return UsageError(f"expected names without . and .. between their slashes in {self}; rename such objects")
        status = text.partition("non-2xx status code: ")[2][:3]
        why = f"it answered {status}" if status.isdigit() else "it did not answer"
        return IncompleteError(f"{self} could not be used ({why}). Nothing is lost; run the same command again later")

    def __str__(self) -> str:
        return self.shown


def _opened(address: BucketAddress) -> "ObjectStore":
    # Unencrypted only with a server on this machine or by agreement (AWS_ALLOW_HTTP).
    from obstore import store

    endpoint = os.environ.get(SCHEMES[address.scheme], "") or os.environ.get("AWS_ENDPOINT", "")
    near = is_loopback_name(urlsplit(endpoint).hostname or "")
    agreed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1", "yes")
    if address.scheme != "gs" and endpoint.startswith("http://") and not (near or agreed):
        raise UsageError(
            f"{SCHEMES[address.scheme]} names a server that is reached unencrypted (http), where anyone on the way can "
            "read and alter what is sent; use https, or agree with AWS_ALLOW_HTTP=true"
        )
    settings: Any = {
        "client_options": {"allow_http": near or agreed, "timeout": "120s", "connect_timeout": "10s"},
        "retry_config": {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=120)},
    }
    if address.scheme == "s3":
        return store.S3Store(address.bucket, **settings)
    if address.scheme == "gs":
        return store.GCSStore(address.bucket, **settings)
    return store.AzureStore(address.bucket, **settings)


def refuse_unconditional(store: BlobStore) -> None:
    """Refuse a store whose `put_if_absent` overwrites, or that returns other bytes."""
    name, content = f".probe-{secrets.token_hex(8)}", secrets.token_bytes(32)
    try:
        first, second = store.put_if_absent(name, content), store.put_if_absent(name, content[::-1])
        kept = store.get(name)
    finally:
        # A store that keeps its user from removing anything still works.
        with suppress(UsageError):
            store.remove(name)
    if not first or second or kept != content:
        how = "an object that was there was overwritten" if second else "what was put is not what was got"
        raise UsageError(
            f"expected a store that keeps the first of two objects of one name; in {store.shown} {how}. "
            "Use a server that heeds If-None-Match, as Amazon S3 does, or leave --store out"
        )
