"""Keys with X.509 certificates (RFC 5280), which sign Content Credentials, by the package `cryptography`."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.documents.ed25519 import library
from blackbox_conformal.documents.signature import SigningKey, secret_text
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# Organisation in the name of every root made here; its common name is the public key in hexadecimal.
ROOT = "blackbox-conformal signing key"
# A key has no date; the second is how a certificate says that it never ends (RFC 5280, 4.1.2.5).
_FROM, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_PRIVATE = re.compile(r"^-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----$.*?^-----END (?P=kind)-----$", re.M | re.S)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_OWN = "expected your certificates, the signer's first, and its private key in one PEM file (cat chain.pem key.pem)"


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A private key (`private`, PEM PKCS #8) and its certificates (`chain`, PEM, the signer's first).

    `signer`: who signs, in words. `key`: the public key as this package writes it, None for other kinds. `algorithm`:
    its name in C2PA, such as ``ed25519`` or ``es256``.
    """

    signer: str
    key: str | None
    chain: str = field(repr=False)
    algorithm: str
    private: bytes = field(repr=False)

    @classmethod
    def of(cls, key: SigningKey) -> "CertifiedKey":
        """Certify a key of this package by itself, the same each time; raise MissingPackageError if it cannot."""
        library()
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        pem = key.to_pem()
        private: Any = load_pem_private_key(pem, None)
        public = private.public_key()
        chain = _certificate(public, private, key.name) + _certificate(public, private)
        return cls(key.signer, key.key, chain, "ed25519", pem)

    @classmethod
    def load(cls, path: str | Path, passphrase: str | None = None) -> "CertifiedKey":
        """Load the user's own certificates and key from one PEM file.

        Raises UsageError if others can read it, a part is missing or does not fit, a certificate is not valid today, or
        Content Credentials do not take such keys.
        """
        library()
        try:
            return _own(secret_text(Path(path)), passphrase)
        except UsageError as error:
            raise UsageError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None

    @property
    def root(self) -> str:
        """Return the last certificate, by which others recognise the certificates it signed."""
        return self.chain[self.chain.rindex("-----BEGIN") :]

    # Pickling would write the key to disk or send it to workers.
    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a private key is not pickled; read it again where it is needed")


def certificates(text: str) -> "list[x509.Certificate]":
    """Read certificates from PEM text."""
    library()
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise UsageError("expected certificates in PEM form; they cannot be read. Get them from their issuer") from None


def root_of(public: bytes) -> str:
    """Return the root of a public Ed25519 key (PEM) for readers, who need its name and key, not its signature.

    A key that is thrown away makes that signature.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    return _certificate(Ed25519PublicKey.from_public_bytes(public), Ed25519PrivateKey.generate())


def _certificate(public: "Ed25519PublicKey", private: "Ed25519PrivateKey", owner: str = "") -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root = _named(ROOT, public.public_bytes_raw().hex())
    # One issuer must not use a number twice.
    number = int.from_bytes(hashlib.sha256(owner.encode()).digest()[:16]) | 1
    certificate = (
        x509.CertificateBuilder(root, _named(owner, owner[:64]) if owner else root, public, number, _FROM, _UNTIL)
        .add_extension(x509.BasicConstraints(ca=not owner, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(bool(owner), False, False, False, False, not owner, False, False, False), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if owner:
        # C2PA's certificate profile asks this of a signer.
        certificate = certificate.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return certificate.sign(private, None).public_bytes(Encoding.PEM).decode()


def _named(organization: str, common: str) -> "x509.Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = ((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _own(text: str, passphrase: str | None) -> CertifiedKey:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as form

    pem = _PRIVATE.search(text)
    if pem is None or "-----BEGIN CERTIFICATE-----" not in text:
        missing = "no private key" if pem is None else "no certificate"
        raise UsageError(f"{_OWN}; it holds {missing}. A key of `key new` goes with --sign-with FILE --credentials")
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
        private = form.load_pem_private_key(pem[0].encode(), None if passphrase is None else passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's message may quote the file.
        raise UsageError(f"{_OWN}, and the key's passphrase if it has one; they cannot be read") from None
    encoded = (form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    first = certificates[0]
    if first.public_key().public_bytes(*encoded) != private.public_key().public_bytes(*encoded):
        raise UsageError(f"{_OWN}; its first certificate is of another key")
    now = datetime.now(UTC)
    for each in certificates:
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            began, ended = (f"{at:%Y-%m-%d}" for at in (each.not_valid_before_utc, each.not_valid_after_utc))
            raise UsageError(
                f"expected certificates that are valid today; one is valid from {began} to {ended}. Get a new one from "
                "its issuer, or sign with a key of `key new`: --sign-with FILE --credentials"
            )
    algorithm = _algorithm(private)
    key = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    chain = "".join(each.public_bytes(form.Encoding.PEM).decode() for each in certificates)
    signer = f"{_called(first.subject)}, certified by {_called(first.issuer)}"
    return CertifiedKey(signer, None, chain, algorithm, key)


def _called(name: "x509.Name") -> str:
    from cryptography.x509.oid import NameOID

    found = [
        one for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME) for one in name.get_attributes_for_oid(oid)
    ]
    return printable(str(found[0].value)) if found else "somebody"


def _algorithm(private: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match private:
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey() if private.key_size >= 2048:
            return "ps256"
        case ec.EllipticCurvePrivateKey() if private.curve.name in _CURVES:
            return _CURVES[private.curve.name]
    raise UsageError(
        "expected a key that Content Credentials are signed with: Ed25519, P-256, P-384, P-521, or RSA of 2048 bits "
        "and more; got another kind. Make one: openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256"
    )
