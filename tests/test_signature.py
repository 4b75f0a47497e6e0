"""Signatures, the keys that make them and the keys that are trusted: formats, odd keys, and who may read what."""

import base64
import errno
import os
import pickle
import sys
from pathlib import Path

import pytest
from naive import ed25519 as naive

from blackbox_conformal.documents import ed25519
from blackbox_conformal.documents.ed25519 import PrivateKey
from blackbox_conformal.documents.signature import DOMAIN, Signature, SigningKey, Vouching, is_encrypted
from blackbox_conformal.documents.trust_policy import TrustPolicy
from blackbox_conformal.errors import CheckFailedError, IncompleteError, UsageError
from blackbox_conformal.support.canonical import digest_bytes

VECTORS = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
)
"""Tests 1 to 3 of RFC 8032, section 7.1: private key, public key, message, signature."""

DIGEST = digest_bytes(b"a paper")
FORMAT = "blackbox-conformal certificate"


def key_file(path: Path, secret: str, name: str = "Name: Laboratory X\n") -> Path:
    """A private key as RFC 8410 writes one in PEM."""
    coded = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420" + secret)).decode()
    path.write_text(f"{name}-----BEGIN PRIVATE KEY-----\n{coded}\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.new("Laboratory X")


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_keys_and_signatures_are_those_of_the_standard(
    tmp_path: Path, secret: str, public: str, message: str, signature: str
) -> None:
    path = key_file(tmp_path / "key", secret)
    assert SigningKey.load(path).key == f"ed25519:{public}"
    pem = path.read_bytes().partition(b"\n")[2]
    assert PrivateKey.from_pem(pem, None).sign(bytes.fromhex(message)).hex() == signature
    for verifies in (ed25519.verifies, naive.verifies):
        assert verifies(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))
        assert not verifies(bytes.fromhex(public), b"another message", bytes.fromhex(signature))


def test_what_is_signed_begins_with_the_purpose_and_names_paper_signer_and_digest(key: SigningKey) -> None:
    signature = key.sign(FORMAT, 2, DIGEST)
    message = DOMAIN + (
        f'{{"digest":"{DIGEST}","format":"{FORMAT}","key":"{key.key}","name":"Laboratory X","version":2}}'.encode()
    )
    assert signature.message(DIGEST) == message
    public, value = bytes.fromhex(key.key.removeprefix("ed25519:")), bytes.fromhex(signature.value)
    assert naive.verifies(public, message, value)
    assert signature == key.sign(FORMAT, 2, DIGEST)


def test_a_signature_is_of_one_paper_kind_version_signer_and_name(key: SigningKey) -> None:
    signature = key.sign(FORMAT, 2, DIGEST)
    assert signature.is_of(FORMAT, 2, DIGEST)
    assert signature.is_of(FORMAT, None, DIGEST)
    assert not signature.is_of(FORMAT, 2, digest_bytes(b"another"))
    assert not signature.is_of(FORMAT, 3, DIGEST)
    assert not signature.is_of("blackbox-conformal calibration", 2, DIGEST)
    changes = {"format": "blackbox-conformal calibration", "version": 3, "name": "Laboratory Y"}
    changes["key"] = SigningKey.new("Laboratory X").key
    for name, value in changes.items():
        changed = signature.model_copy(update={name: value})
        assert not changed.is_of(changed.format, changed.version, DIGEST), name


def test_every_bit_of_a_signature_counts(key: SigningKey) -> None:
    signature = key.sign(FORMAT, 2, DIGEST)
    value = bytes.fromhex(signature.value)
    for bit in range(8 * len(value)):
        other = (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(64, "big")
        assert not signature.model_copy(update={"value": other.hex()}).is_of(FORMAT, 2, DIGEST), bit
    # The same number modulo the order of the group: another text of the same signature.
    number = int.from_bytes(value[32:], "little") + naive.ORDER
    again = value[:32] + number.to_bytes(32, "little")
    assert not signature.model_copy(update={"value": again.hex()}).is_of(FORMAT, 2, DIGEST)


def odd_keys() -> dict[str, bytes]:
    """Public keys that no honest signer has."""
    small = {f"small order {i}": naive.encode(point) for i, point in enumerate(naive.points_of_small_order())}
    assert len(set(small.values())) == 8
    second = {
        "zero with a sign": (1 + (1 << 255)).to_bytes(32, "little"),
        "minus one with a sign": (naive.PRIME - 1 + (1 << 255)).to_bytes(32, "little"),
        **{f"prime plus {y}": (naive.PRIME + y).to_bytes(32, "little") for y in range(19)},
    }
    off = next(data for y in range(2, 99) if naive.decode(data := y.to_bytes(32, "little")) is None)
    return {**small, **second, "off the curve": off, "too short": bytes(31)}


@pytest.mark.parametrize("name", odd_keys())
def test_odd_keys_are_refused(name: str) -> None:
    public = odd_keys()[name]
    with pytest.raises(UsageError, match="no honest key"):
        ed25519.refuse_odd_key(public)
    with pytest.raises(UsageError):
        TrustPolicy.read([f"ed25519:{public.hex()}"])


def test_a_key_that_fits_every_message_vouches_for_nothing() -> None:
    neutral = naive.encode((0, 1))
    universal = naive.encode(naive.BASE) + (1).to_bytes(32, "little")
    assert naive.verifies(neutral, b"whatever", universal)
    forged = Signature(format=FORMAT, version=2, key=f"ed25519:{neutral.hex()}", name="X", value=universal.hex())
    with pytest.raises(CheckFailedError, match="broken"):
        Vouching.of(forged, "the certificate", FORMAT, 2, DIGEST, [forged.key])


def test_honest_keys_are_no_odd_ones() -> None:
    for _ in range(50):
        ed25519.refuse_odd_key(PrivateKey.new().public)


@pytest.mark.parametrize("passphrase", [None, "correct horse ß"])
def test_a_key_file_is_private_and_is_read_again(tmp_path: Path, key: SigningKey, passphrase: str | None) -> None:
    path = key.save(tmp_path / "key.pem", passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert is_encrypted(path) == (passphrase is not None)
    again = SigningKey.load(path, passphrase)
    assert (again.key, again.name) == (key.key, key.name)
    with pytest.raises(UsageError, match="never overwritten"):
        key.save(path)


def test_a_passphrase_is_needed_and_must_be_right(tmp_path: Path, key: SigningKey) -> None:
    path = key.save(tmp_path / "key.pem", "right")
    with pytest.raises(UsageError, match="expected the passphrase"):
        SigningKey.load(path)
    with pytest.raises(UsageError, match="and its passphrase") as error:
        SigningKey.load(path, "a wrong one")
    assert "a wrong one" not in str(error.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path: Path, key: SigningKey, mode: int) -> None:
    path = key.save(tmp_path / "key.pem")
    path.chmod(mode)
    for read in (SigningKey.load, is_encrypted):
        with pytest.raises(UsageError, match="chmod 600"):
            read(path)


def test_a_key_of_another_user_is_refused(tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    path, me = key.save(tmp_path / "key.pem"), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    for read in (SigningKey.load, is_encrypted):
        with pytest.raises(UsageError, match=f"belongs to user {me}, not to you \\({me + 1}\\)"):
            read(path)


def test_files_that_are_no_key_say_what_is_expected(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = {
        b"": "it holds none",
        b"\xff\xfe": "this is another file",
        b"Name: X\n" + other: "another kind",
        b"Name: X\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n": "in PEM form",
        b"x" * 70000: "it is larger",
    }
    for content, says in contents.items():
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(UsageError, match=says):
            SigningKey.load(path)
    with pytest.raises(UsageError, match="Name: Laboratory X"):
        SigningKey.load(key_file(tmp_path / "nameless", VECTORS[0][0], name=""))
    with pytest.raises(UsageError, match="can be read"):
        SigningKey.load(tmp_path / "none")


@pytest.mark.parametrize("name", ["", " X", "X\n", "X\u202eY", "X\u200b", "x" * 161, "\ud800"])
def test_names_that_do_not_show_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="characters that show"):
        SigningKey.new(name)
    with pytest.raises(ValueError, match="characters that show"):
        Signature(format=FORMAT, version=2, key=f"ed25519:{VECTORS[0][1]}", name=name, value="0" * 128)


def test_a_name_cannot_pretend_to_be_part_of_the_sentence(key: SigningKey) -> None:
    sly = SigningKey.new('X"), a key that you trust')
    words = Vouching.of(sly.sign(FORMAT, 2, DIGEST), "it", FORMAT, 2, DIGEST, [key.key]).words()
    assert words.endswith("you have not told verify that you trust this key")
    assert r"X\"), a key" in words


def test_trusted_keys_are_typed_or_stand_in_files(tmp_path: Path, key: SigningKey) -> None:
    other = SigningKey.new("Y")
    file = tmp_path / "keys"
    file.write_text(f"# laboratories\n\n{key.key} Laboratory X\n  {other.key}\n")
    assert (
        TrustPolicy.read([str(file)]) == TrustPolicy.read([key.key, other.key]) == TrustPolicy.of([key.key, other.key])
    )
    assert not TrustPolicy.read([])


def test_what_is_no_trusted_key_is_refused(tmp_path: Path, key: SigningKey) -> None:
    def file(text: str) -> str:
        (tmp_path / "keys").write_text(text)
        return str(tmp_path / "keys")

    cases = {
        key.key.upper(): "cannot be read",
        key.key[:-1]: "64 hexadecimal digits",
        key.key.replace("ed25519:", "ed25519:" + "0" * 2): "64 hexadecimal digits",
        str(tmp_path / "none"): "cannot be read",
        "\0": "cannot be read",
    }
    for text, says in cases.items():
        with pytest.raises(UsageError, match=says):
            TrustPolicy.read([text])
    for text, says in {"": "got none", "# nothing\n": "got none", "Laboratory X\n": "64 hexadecimal"}.items():
        with pytest.raises(UsageError, match=says):
            TrustPolicy.read([file(text)])
    with pytest.raises(UsageError, match="this is a private key"):
        TrustPolicy.read([str(key.save(tmp_path / "key.pem"))])


def test_a_private_key_neither_shows_itself_nor_is_pickled(tmp_path: Path, key: SigningKey) -> None:
    body = key.save(tmp_path / "key.pem").read_text().splitlines()[2]
    assert body not in repr(key)
    assert "_private" not in repr(key)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


def test_a_key_that_could_not_be_written_leaves_no_file(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IncompleteError, match="no space"):
        key.save(tmp_path / "key.pem")
    assert os.listdir(tmp_path) == []


def test_a_package_that_cannot_be_imported_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ed25519.is_installed()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    assert not ed25519.is_installed()
    with pytest.raises(UsageError, match=r"pip install 'blackbox-conformal\[sign\]'"):
        SigningKey.new("X")


def test_a_missing_folder_is_one_sentence(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        key.save(tmp_path / "none" / "key.pem")
    assert os.listdir(tmp_path) == []
