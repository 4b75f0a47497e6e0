"""Ed25519 signatures (Josefsson and Liusvaara 2017, RFC 8032), by the package `cryptography` of the extra `sign`."""

from importlib import import_module
from typing import Any

from blackbox_conformal.errors import MissingPackageError, UsageError

PREFIX = "ed25519:"
"""The beginning of a public key as text."""
INSTALL = "pip install 'blackbox-conformal[sign]'"

_PRIME = 2**255 - 19
_CURVE = -121665 * pow(121666, -1, _PRIME) % _PRIME
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDERS = (0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8)
"""The y of every point whose order divides 8: one signature by such a key fits many messages."""


def is_installed() -> bool:
    """Tell whether this machine can make and check signatures."""
    try:
        import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError:
        return False
    return True


def refuse_odd_key(public: bytes) -> None:
    """Refuse 32 bytes that are no point of the curve in its one encoding, or a point of small order."""
    y = int.from_bytes(public, "little") & (2**255 - 1)
    # The curve is -x^2 + y^2 = 1 + d x^2 y^2, solved for x^2.
    square = (y * y - 1) * pow(_CURVE * y * y + 1, -1, _PRIME) % _PRIME
    # Euler's criterion tells whether that is a square; y below the prime makes the encoding unique.
    on_curve = len(public) == 32 and y < _PRIME and pow(square, (_PRIME - 1) // 2, _PRIME) in (0, 1)
    if not on_curve or y in _SMALL_ORDERS:
        raise UsageError(
            f"expected a public Ed25519 key; got {public.hex()}, which no honest key is. Ask its owner for "
            "what `blackbox-conformal key show FILE` prints"
        )


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) signs `message` under the key `public`."""
    refuse_odd_key(public)
    library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class PrivateKey:
    """A private key, which never shows itself."""

    __slots__ = ("_key",)

    def __init__(self, key: Any) -> None:
        self._key = key

    @classmethod
    def new(cls) -> "PrivateKey":
        library()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None) -> "PrivateKey":
        """Read PEM text (PKCS #8)."""
        library()
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The library's message may quote the file.
            raise UsageError("expected a private key in PEM form, and its passphrase if it has one") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError("expected an Ed25519 key; got a key of another kind")
        return cls(key)

    @classmethod
    def from_seed(cls, seed: bytes) -> "PrivateKey":
        library()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def to_pem(self, passphrase: bytes | None) -> bytes:
        """Write PEM text (PKCS #8), encrypted if there is a passphrase."""
        from cryptography.hazmat.primitives import serialization as form

        way = form.BestAvailableEncryption(passphrase) if passphrase else form.NoEncryption()
        pem: bytes = self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, way)
        return pem

    @property
    def public(self) -> bytes:
        """Return the public key, 32 bytes."""
        public: bytes = self._key.public_key().public_bytes_raw()
        return public

    def sign(self, message: bytes) -> bytes:
        """Sign `message` with 64 bytes, the same each time."""
        signature: bytes = self._key.sign(message)
        return signature

    # Pickling would write the key to disk or send it to workers.
    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a private key is not pickled; read it again where it is needed")


def library() -> None:
    """Refuse to go on without the package `cryptography`."""
    if not is_installed():
        raise MissingPackageError(f"expected the package cryptography for signatures; it cannot be imported. {INSTALL}")
