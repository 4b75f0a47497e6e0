"""Signatures are those of OpenSSL and of libsodium: each checks ours, and we check theirs."""

import hashlib
import json
import subprocess
from pathlib import Path

import nacl.exceptions
import nacl.signing
import pytest
from support.report_material import make_calibration

from blackbox_conformal.documents import ed25519
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.support.canonical import digest_bytes

DIGEST = digest_bytes(b"a paper")


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=False)


def openssl_agrees(folder: Path, message: bytes, signature: bytes) -> bool:
    """Whether OpenSSL finds `signature` to be one of `message` with the key in ``public.pem``."""
    (folder / "message").write_bytes(message)
    (folder / "signature").write_bytes(signature)
    key = ("-pubin", "-inkey", "public.pem", "-rawin")
    checked = openssl(folder, "pkeyutl", "-verify", *key, "-in", "message", "-sigfile", "signature")
    assert checked.returncode == 0 or b"Signature Verification Failure" in checked.stdout, checked.stderr
    return checked.returncode == 0


def test_openssl_verifies_what_was_signed_with_a_key_of_ours(tmp_path: Path) -> None:
    key = SigningKey.new("Laboratory X")
    key.save(tmp_path / "key.pem")
    made = openssl(tmp_path, "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    assert made.returncode == 0, made.stderr
    signature = key.sign("blackbox-conformal certificate", 2, DIGEST)
    message, value = signature.message(DIGEST), bytes.fromhex(signature.value)
    assert openssl_agrees(tmp_path, message, value)
    assert not openssl_agrees(tmp_path, message + b" ", value)
    assert not openssl_agrees(tmp_path, message, value[:-1] + bytes([value[-1] ^ 1]))


def test_openssl_verifies_a_signed_file_from_what_the_documentation_says(tmp_path: Path) -> None:
    path = make_calibration().signed(SigningKey.new("Laboratory \u00e4")).save(tmp_path / "calibration.json")
    paper = json.loads(path.read_bytes())
    signature, digest = paper.pop("signature"), paper.pop("digest")

    def canonical(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")

    assert digest == "sha256:" + hashlib.sha256(canonical(paper)).hexdigest()
    signed = {name: signature[name] for name in ("key", "name")}
    signed |= {"digest": digest, "format": paper["format"], "version": paper["version"]}
    # SubjectPublicKeyInfo of RFC 8410: this prefix and the 32 bytes of the key.
    public = bytes.fromhex("302a300506032b6570032100" + signature["key"].removeprefix("ed25519:"))
    made = subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-out", "public.pem", "-pubout"],
        input=public,
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    message = b"blackbox-conformal signature 1\n" + canonical(signed)
    assert openssl_agrees(tmp_path, message, bytes.fromhex(signature["value"]))


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_of_openssl_signs_once_a_name_stands_above_it(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "key.pem"
    encrypted = [] if passphrase is None else ["-aes-256-cbc", "-pass", f"pass:{passphrase}"]
    made = openssl(tmp_path, "genpkey", "-algorithm", "ed25519", *encrypted, "-out", "key.pem")
    assert made.returncode == 0, made.stderr
    opened = ["-passin", f"pass:{passphrase}"]
    public = openssl(tmp_path, "pkey", "-in", "key.pem", *opened, "-pubout", "-out", "public.pem")
    assert public.returncode == 0, public.stderr
    path.write_text("Name: Laboratory X\n" + path.read_text())
    path.chmod(0o600)
    signature = SigningKey.load(path, passphrase).sign("blackbox-conformal calibration", 3, DIGEST)
    assert openssl_agrees(tmp_path, signature.message(DIGEST), bytes.fromhex(signature.value))


def test_libsodium_signs_and_verifies_alike(tmp_path: Path) -> None:
    for number in range(50):
        theirs = nacl.signing.SigningKey(bytes([number] * 32))
        message = bytes(range(number))
        public, signature = bytes(theirs.verify_key), theirs.sign(message).signature
        assert ed25519.verifies(public, message, signature)
        assert not ed25519.verifies(public, message + b"x", signature)
    key = SigningKey.new("Laboratory X")
    signature = key.sign("blackbox-conformal certificate", 2, DIGEST)
    verify_key = nacl.signing.VerifyKey(bytes.fromhex(key.key.removeprefix("ed25519:")))
    verify_key.verify(signature.message(DIGEST), bytes.fromhex(signature.value))
    with pytest.raises(nacl.exceptions.BadSignatureError):
        verify_key.verify(signature.message(DIGEST) + b" ", bytes.fromhex(signature.value))
