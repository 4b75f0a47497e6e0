"""Keys with X.509 certificates as authorities give them, and pictures that other programs signed with them."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def named(organization: str) -> x509.Name:
    """A name of one organisation."""
    return x509.Name(
        [x509.NameAttribute(oid, organization) for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)]
    )


def _certificate(owner: str, issuer: str, public: Any, private: Any, days: int, *, usage: bool) -> bytes:
    now, authority = datetime.now(UTC), owner == issuer
    made = x509.CertificateBuilder(
        named(issuer), named(owner), public, x509.random_serial_number(), now - timedelta(90), now + timedelta(days)
    )
    use = x509.KeyUsage(not authority, False, False, False, False, authority, False, False, False)
    made = made.add_extension(x509.BasicConstraints(authority, None), True).add_extension(use, True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key()), False)
    if usage and not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(private, algorithm).public_bytes(Encoding.PEM)


def own_chain(folder: Path, name: str, key: Any = None, days: int = 30, *, usage: bool = True) -> tuple[Path, Path]:
    """A PEM file of `name`'s certificate and key, and one of the authority that issued it."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), key or ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Authority", "Authority", authority.public_key(), authority, 3000, usage=False)
    leaf = _certificate(name, "Authority", key.public_key(), authority, days, usage=usage)
    own, anchors = folder / f"{name}.pem", folder / f"{name}-anchors.pem"
    own.write_bytes(leaf + root + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own.chmod(0o600)
    anchors.write_bytes(root)
    return own, anchors


def signed_elsewhere(content: bytes, media_type: str, folder: Path, name: str) -> tuple[bytes, bytes]:
    """The picture with Content Credentials that another program signed, and their bytes."""
    pem = own_chain(folder, name)[0].read_bytes()
    at = pem.index(b"-----BEGIN PRIVATE")
    info = c2pa.C2paSignerInfo(b"es256", pem[:at], pem[at:], None)
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": MADE}]}
    manifest = {"title": "made elsewhere", "assertions": [{"label": "c2pa.actions.v2", "data": actions}]}
    settings = c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    made = io.BytesIO()
    with (
        c2pa.Context(settings=settings) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(manifest, context=context) as builder,
    ):
        store = builder.sign(signer, media_type, io.BytesIO(content), made)
    return made.getvalue(), store


def manifests_in(store: bytes) -> list[bytes]:
    """The manifests of a store of Content Credentials, a JUMBF box each (ISO 19566-5)."""
    at, found = 8, []
    while at < len(store):
        end = at + int.from_bytes(store[at : at + 4])
        found.append(store[at:end])
        at = end
    # The first box says what the store is.
    return found[1:]
