"""Content Credentials: who signed what of a picture, by C2PA's own reader and by `verify`, and every way to lie."""

import io
import json
import pickle
import random
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from PIL import Image as PillowImage
from support import signers
from support.command_line import called_with_input, ended
from support.signers import manifests_in, own_chain, signed_elsewhere
from support.synthetic import photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents import credentials, x509
from blackbox_conformal.documents.credentials import (
    Ingredient,
    Provenance,
    read_credentials,
    sign_picture,
    without_credentials,
)
from blackbox_conformal.documents.x509 import CertifiedKey
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, UsageError
from blackbox_conformal.method.images.encode import image_png, mask_png
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.mask.products import add_doubt
from blackbox_conformal.support.canonical import digest_bytes

UNTRUSTED = "signingCredential.untrusted"
PICTURES = ("p20-image.png", "p20-safe.png")


@dataclass(frozen=True)
class Desk:
    """A picture that was masked with credentials into ``out``, from an input and an answer that had some, too."""

    folder: Path
    key: bc.SigningKey
    manifests: dict[str, bytes]

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def mask(self, out: str, *more: str) -> int:
        draws = ["-p", f"path={self.folder / 'draws'}", "--run", self.path("run"), "--out", self.path(out)]
        calibration = ["--calibration", self.path("c.json"), "--alpha", "0.9", "--safe"]
        return run(["mask", self.path("p20.png"), *calibration, *draws, *more])

    def signed(self, out: str, *more: str) -> int:
        return self.mask(out, "--credentials", "--sign-with", self.path("lab.pem"), *more)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    key = bc.SigningKey.new("Laboratory X")
    key.save(folder / "lab.pem")
    write_draws(folder / "draws", [*range(8), 20])
    write_photographs(folder / "photographs", range(8))
    manifests = {}
    for path, name in ((folder / "p20.png", "Camera"), (folder / "draws" / "p20" / "0.png", "Vendor Inc")):
        plain = image_png(reduced(photograph(20), 4)) if name == "Camera" else path.read_bytes()
        signed, store = signed_elsewhere(plain, "image/png", folder, name)
        path.write_bytes(signed)
        (manifests[name],) = manifests_in(store)
    vendor = ["--adapter", "folder", "-p", f"path={folder / 'draws'}", "-p", "label=made up"]
    choices = ["--draws", "4", "--score", "pixel-variance", "--metric", "rgb-linf", "--run", str(folder / "run")]
    command = ["calibrate", str(folder / "photographs"), *vendor, *choices, "--out", str(folder / "c.json")]
    assert run(command) == 0
    desk = Desk(folder, key, manifests)
    assert desk.signed("out") == 0
    return desk


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code of `verify`, what its document says of one paper, and what it says."""
    capsys.readouterr()
    code = run(["verify", *arguments, "--json"])
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    return code, row, err


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    assert code != 0
    return capsys.readouterr().err


def read_elsewhere(content: bytes, anchors: str = "") -> tuple[str, set[str], dict[str, Any]]:
    """State, failures and active manifest, by C2PA's own reader with its own settings."""
    settings = c2pa.Settings.from_dict({"trust": {"trust_anchors": anchors}} if anchors else {})
    with (
        c2pa.Context(settings=settings) as context,
        c2pa.Reader("image/png", io.BytesIO(content), context=context) as reader,
    ):
        store, results = json.loads(reader.json()), reader.get_validation_results()
    failures = {one["code"] for one in results["activeManifest"]["failure"]}
    return store["validation_state"], failures, store["manifests"][store["active_manifest"]]


@pytest.mark.parametrize("name", PICTURES)
def test_another_reader_finds_the_manifest_valid(desk, name):
    content = (desk.folder / "out" / name).read_bytes()
    state, failures, manifest = read_elsewhere(content)
    assert (state, failures) == ("Valid", {UNTRUSTED})
    parts = [(one["relationship"], one["title"]) for one in manifest["ingredients"]]
    assert parts == [("parentOf", "p20"), ("componentOf", "p20-vendor.png"), ("componentOf", "p20-mask.png")]
    actions, said = (one["data"] for one in manifest["assertions"])
    assert [one["action"] for one in actions["actions"]] == ["c2pa.opened", "c2pa.edited", "c2pa.placed", "c2pa.placed"]
    assert actions["actions"][1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    certificate = bc.Certificate.from_json((desk.folder / "out/p20-certificate.json").read_text())
    assert said["statement"] == certificate.stated
    assert (said["alpha"], said["status"]) == (0.9, certificate.status)
    assert said["trusted_share"] == pytest.approx(certificate.trusted_share)
    files = {kind: one.get("digest") for kind, one in said["files"].items()}
    assert files["mask"] == certificate.outputs["mask"]["digest"]
    assert files["vendor"] == certificate.outputs["vendor"]["digest"]
    told = certificate.outputs["safe" if "safe" in name else "image"]["credentials"]
    assert told["signed_by"] == f'{desk.key.key} (says it is "Laboratory X")'
    assert [part.split(", kept")[0] for part in told["of_parts"]] == [
        'p20 has Content Credentials by "Camera"',
        'p20-vendor.png has Content Credentials by "Vendor Inc"',
    ]


@pytest.mark.parametrize("name", PICTURES)
def test_the_manifests_of_others_are_kept_byte_by_byte_and_the_pixels_stay(desk, name):
    assert desk.mask("plain", "--force") == 0
    signed, plain = ((desk.folder / out / name).read_bytes() for out in ("out", "plain"))
    assert all(manifest in signed for manifest in desk.manifests.values())
    assert without_credentials(signed) == plain != signed
    assert np.array_equal(*(np.asarray(PillowImage.open(io.BytesIO(one))) for one in (signed, plain)))
    mask = (desk.folder / "out" / "p20-mask.png").read_bytes()
    assert len(signed) - len(plain) - len(mask) - sum(map(len, desk.manifests.values())) < 20_000
    vendor = (desk.folder / "out" / "p20-vendor.png").read_bytes()
    assert vendor == (desk.folder / "draws" / "p20" / "0.png").read_bytes()


def test_verify_reads_them_with_and_without_the_files_beside(desk, tmp_path, capsys):
    for name in PICTURES:
        code, row, said = verified(capsys, desk.path(f"out/{name}"), "--calibration", desk.path("c.json"))
        assert (code, row["verified"], row["credentials"]["key"]) == (7, False, desk.key.key)
        assert row["outcome"] == "signed by a stranger"
        assert "its certificate p20-certificate.json says the same" in said
        assert "you have not told verify that you trust this signer" in said
        (tmp_path / name).write_bytes((desk.folder / "out" / name).read_bytes())
        code, row, said = verified(capsys, str(tmp_path / name), "--trust", desk.key.key)
        assert (code, row["verified"], row["credentials"]["trusted"]) == (0, True, True)
        assert "not checked: its certificate p20-certificate.json, which does not lie beside it" in said
    code, row, said = verified(capsys, desk.path("out/p20-certificate.json"))
    assert (code, row["verified"]) == (7, False)
    assert "image and safe: Content Credentials are whole, signed by ed25519:" in said
    stranger = bc.SigningKey.new("Laboratory X").key
    code, row, said = verified(capsys, str(tmp_path / name), "--trust", stranger)
    assert (code, row["verified"]) == (3, False)
    assert "expected a signer that you trust" in said


def test_pictures_of_others_are_read_and_a_plain_one_is_refused(desk, capsys):
    code, row, said = verified(capsys, desk.path("out/p20-vendor.png"))
    assert (code, row["credentials"]["claim"]) == (7, None)
    assert "signed by Vendor Inc, certified by Authority" in said
    assert "they hold no certificate of this package" in said
    assert verified(capsys, desk.path("photographs/p1.png"))[0] == 3
    code, row, said = verified(
        capsys, desk.path("out/p20-vendor.png"), "--trust-anchors", desk.path("Vendor Inc-anchors.pem")
    )
    assert (code, row["credentials"]["trusted"]) == (0, True)


def test_flipped_bytes_are_found(desk):
    content = (desk.folder / "out" / "p20-safe.png").read_bytes()
    rng = random.Random(0)
    assert read_credentials(content) is not None
    for _ in range(100):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        with pytest.raises(BlackboxConformalError, match=r"expected|changed|cannot be read"):
            read_credentials(bytes(flipped))


def manifest_at(png: bytes) -> tuple[int, int]:
    """Where the chunk with the manifest begins and ends."""
    at = png.index(b"caBX") - 4
    return at, at + 12 + int.from_bytes(png[at : at + 4])


def with_manifest(png: bytes, store: bytes) -> bytes:
    at, end = manifest_at(png)
    chunk = b"caBX" + store
    return png[:at] + struct.pack(">I", len(store)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[end:]


def mutated(png: bytes, rng: random.Random) -> bytes:
    """The picture with a manifest that was changed, below a checksum that is right."""
    at, end = manifest_at(png)
    store = bytearray(png[at + 8 : end - 4])
    place, other = rng.randrange(len(store) - 8), rng.randrange(len(store) - 400)
    match rng.randrange(6):
        case 0:
            store[place] ^= 1 << rng.randrange(8)
        case 1:
            del store[place : place + rng.randrange(1, 400)]
        case 2:
            store[place:place] = rng.randbytes(rng.randrange(1, 400))
        case 3:
            store[place : place + 4] = struct.pack(">I", rng.choice([0, 1, 7, 2**31 - 1, 2**32 - 1]))
        case 4:
            store[place : place + 100] = store[other : other + 100]
        case 5:
            store[place : place + 9] = bytes([rng.choice(b"\x5b\x9b\xbb\x7b\xff\x9f\xc2")]) + rng.randbytes(8)
    return with_manifest(png, bytes(store))


def test_mutated_manifests_are_refused_or_say_the_same(desk):
    content = (desk.folder / "out" / "p20-image.png").read_bytes()
    found, rng, refusals = read_credentials(content), random.Random(0), []
    for _ in range(60):
        try:
            assert read_credentials(mutated(content, rng)) in (found, None)
        except BlackboxConformalError as error:
            refusals.append(str(error))
    assert len(refusals) > 40
    assert all("Content Credentials" in one for one in refusals)


def test_a_manifest_that_would_take_much_memory_is_not_read(desk, monkeypatch):
    content = (desk.folder / "out" / "p20-image.png").read_bytes()
    monkeypatch.setattr(credentials, "LARGEST", 2**20)
    assert read_credentials(content) is not None
    with pytest.raises(CheckFailedError, match="are too large to be read"):
        read_credentials(with_manifest(content, bytes(2**20 + 8 * 64 * 80)))


def test_pictures_made_of_mutated_manifests_are_signed_all_the_same(desk):
    content, plain = ((desk.folder / out / "p20-image.png").read_bytes() for out in ("out", "plain"))
    certificate = bc.Certificate.from_json((desk.folder / "out/p20-certificate.json").read_text())
    mask = Ingredient("p20-mask.png", (desk.folder / "out" / "p20-mask.png").read_bytes())
    key, rng, lost = CertifiedKey.of(desk.key), random.Random(1), 0
    for _ in range(20):
        part = Ingredient("damaged.png", mutated(content, rng))
        assert np.array_equal(read_image(part.content).pixels, read_image(plain).pixels)
        made = Provenance(
            title="p20-image.png",
            paper="p20-certificate.json",
            certificate=certificate,
            given=part,
            vendor=part,
            mask=mask,
        )
        signed, said = sign_picture(plain, key, made)
        assert read_elsewhere(signed)[0] == "Valid"
        assert without_credentials(signed) == plain
        lost += any("not kept: they are damaged" in one for one in said["of_parts"])
    assert 0 < lost < 20


def test_credentials_that_were_signed_to_say_otherwise_are_contradicted(desk, tmp_path, capsys):
    certificate = bc.Certificate.from_json((desk.folder / "out/p20-certificate.json").read_text())
    files = {kind: (desk.folder / "out" / f"p20-{kind}.png").read_bytes() for kind in ("vendor", "mask")}
    plain = (desk.folder / "plain" / "p20-image.png").read_bytes()
    lie = certificate.model_copy(update={"trusted_share": 0.5, "status": "guaranteed", "statement": "All is well."})
    made = Provenance(
        title="p20-image.png",
        paper="p20-certificate.json",
        certificate=lie,
        given=Ingredient("p20", (desk.folder / "p20.png").read_bytes()),
        vendor=Ingredient("p20-vendor.png", files["vendor"]),
        mask=Ingredient("p20-mask.png", files["mask"]),
    )
    path = tmp_path / "p20-image.png"
    path.write_bytes(sign_picture(plain, CertifiedKey.of(desk.key), made)[0])
    code, row, _ = verified(capsys, str(path))
    assert code == 3
    assert "trusted_share is 0.5, and" in row["reason"]
    for name in ("p20-certificate.json", "p20-mask.png"):
        (tmp_path / name).write_bytes((desk.folder / "out" / name).read_bytes())
    assert "it is not the picture that p20-certificate.json beside it names" in verified(capsys, str(path))[1]["reason"]


@pytest.mark.parametrize("with_certificate", [True, False])
def test_a_mask_beside_a_picture_that_was_swapped_is_found(desk, tmp_path, with_certificate, capsys):
    for name in ("p20-image.png", "p20-mask.png", *(["p20-certificate.json"] if with_certificate else [])):
        (tmp_path / name).write_bytes((desk.folder / "out" / name).read_bytes())
    picture, trust = str(tmp_path / "p20-image.png"), ("--trust", desk.key.key)
    code, row, said = verified(capsys, picture, *trust)
    assert (code, row["unchecked"][-1]) == (0, "that its mask follows from the pictures (verify its certificate)")
    assert ("not checked: its certificate" in said) != with_certificate
    (tmp_path / "p20-mask.png").write_bytes(mask_png(np.zeros(photograph(20).shape[:2], bool)))
    for more in ((), trust):
        code, row, _ = verified(capsys, picture, *more)
        assert (code, row["verified"]) == (3, False)
        assert "the mask p20-mask.png beside it is not the one in its Content Credentials" in row["reason"]
    (tmp_path / "p20-mask.png").unlink()
    code, row, _ = verified(capsys, picture, *trust)
    assert (code, "its mask p20-mask.png, which does not lie beside it" in row["unchecked"]) == (0, True)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_ends_no_other_check(desk, tmp_path, name, capsys):
    certificate = bc.Certificate.from_json((desk.folder / "out/p20-certificate.json").read_text())
    parts = [Ingredient(one, (desk.folder / "out" / one).read_bytes()) for one in ("p20-vendor.png", "p20-mask.png")]
    made = Provenance(title="t", paper=name, certificate=certificate, given=parts[0], vendor=None, mask=parts[1])
    plain = without_credentials((desk.folder / "out" / "p20-image.png").read_bytes())
    (tmp_path / "hostile.png").write_bytes(sign_picture(plain, CertifiedKey.of(desk.key), made)[0])
    good = [desk.path("out/p20-image.png"), desk.path("out/p20-certificate.json")]
    capsys.readouterr()
    code = run(["verify", good[0], str(tmp_path / "hostile.png"), good[1], "--trust", desk.key.key, "--json"])
    out, err = capsys.readouterr()
    assert [row["verified"] for row in json.loads(out)][::2] == [True, True]
    assert (code, name in err) == (3 if "a" * 9 in name else 0, False)


def test_a_certificate_that_names_credentials_is_refused_without_them(desk, tmp_path, capsys):
    for path in (desk.folder / "out").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    image, paper = tmp_path / "p20-image.png", tmp_path / "p20-certificate.json"
    image.write_bytes(without_credentials(image.read_bytes()))
    certificate = bc.Certificate.from_json(paper.read_text())
    assert "was changed" in verified(capsys, str(paper))[1]["reason"]
    entry = {**certificate.outputs["image"], "digest": digest_bytes(image.read_bytes())}
    edited = certificate.model_copy(update={"outputs": {**certificate.outputs, "image": entry}, "signature": None})
    paper.write_text(edited.to_json())
    assert "the image has not the Content Credentials" in verified(capsys, str(paper))[1]["reason"]


def test_a_private_key_goes_nowhere_and_names_what_ended(desk, capsys):
    assert "certificate is not valid, or has ended" in str(credentials._ChangedError("signingCredential.expired"))
    assert "were changed after" in str(credentials._ChangedError("claimSignature.mismatch, signingCredential.expired"))
    code = desk.signed("none", "--cluster", "tcp://127.0.0.1:1")
    assert "expected no --cluster beside --credentials" in refused(capsys, code)
    key = CertifiedKey.of(desk.key)
    assert "PRIVATE" not in repr(key)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    with pytest.raises(UsageError):
        CertifiedKey.load(desk.folder / "nothing.pem")


def test_who_signs_with_whose_certificates(desk, tmp_path, capsys):
    for name, kind in (("Company Y", None), ("Company Z", ed25519.Ed25519PrivateKey.generate())):
        own, anchors = own_chain(tmp_path, name, kind)
        assert desk.mask(name, "--credentials-with", str(own)) == 0
        assert f"signed by {name}, certified by Authority" in capsys.readouterr().out
        assert verified(capsys, desk.path(f"{name}/p20-certificate.json"))[0] == 0
        picture = desk.path(f"{name}/p20-image.png")
        state, failures, _ = read_elsewhere(Path(picture).read_bytes(), anchors.read_text())
        assert (state, failures) == ("Trusted", set())
        assert verified(capsys, picture, "--trust-anchors", str(anchors))[1]["credentials"]["trusted"]
    root = ended(capsys, ["key", "certificate", desk.path("lab.pem")]).out
    assert read_elsewhere((desk.folder / "out" / "p20-safe.png").read_bytes(), root)[0] == "Trusted"


def test_a_key_that_does_not_sign_is_refused_before_anything_is_drawn(desk, tmp_path, capsys, monkeypatch):
    expired, _ = own_chain(tmp_path, "Expired", days=-1)
    odd, _ = own_chain(tmp_path, "Odd", ec.generate_private_key(ec.SECP256K1()))
    unfit, _ = own_chain(tmp_path, "Unfit", usage=False)
    other, _ = own_chain(tmp_path, "Other")
    mixed = tmp_path / "mixed.pem"
    at = (text := other.read_text()).index("-----BEGIN PRIVATE")
    mixed.write_text(text[:at] + expired.read_text()[expired.read_text().index("-----BEGIN PRIVATE") :])
    mixed.chmod(0o600)
    cases = {
        expired: "expected certificates that are valid today; one is valid from",
        odd: "expected a key that Content Credentials are signed with: Ed25519, P-256",
        unfit: "c2pa-python refuses them: Signature: the certificate is invalid. Ask their issuer",
        mixed: "its first certificate is of another key",
        desk.folder / "lab.pem": "it holds no certificate. A key of `key new` goes with --sign-with FILE --credentials",
    }
    for file, said in cases.items():
        assert said in refused(capsys, desk.mask("none", "--credentials-with", str(file)))
    assert "Add --sign-with lab.pem, which `blackbox-conformal key new" in refused(
        capsys, desk.mask("none", "--credentials")
    )
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert "Run: pip install c2pa-python" in refused(capsys, desk.signed("none"))
    assert not (desk.folder / "none").exists()
    code, row, _ = verified(capsys, desk.path("out/p20-image.png"))
    assert (code, "Run: pip install c2pa-python" in row["reason"]) == (3, True)
    code, row, said = verified(capsys, desk.path("out/p20-certificate.json"))
    assert code == 7
    assert "not checked: that it follows" in said
    assert "Content Credentials of its pictures (expected the package c2pa-python" in said


def test_the_same_command_again_renews_them_and_none_are_lost_unasked(desk, capsys):
    assert desk.mask("again") == 0
    for _ in range(2):
        assert desk.signed("again") == 0
        assert verified(capsys, desk.path("again/p20-image.png"), "--trust", desk.key.key)[0] == 0
        assert verified(capsys, desk.path("again/p20-certificate.json"), "--trust", desk.key.key)[0] == 0
    assert "exists with other content" in refused(capsys, desk.mask("again", "--sign-with", desk.path("lab.pem")))
    assert desk.mask("again", "--force") == 0
    assert read_credentials((desk.folder / "again" / "p20-image.png").read_bytes()) is None


def test_a_picture_with_alpha_keeps_it_and_says_what_is_trusted_of_what_shows(desk, tmp_path, capsys):
    rgb = reduced(photograph(20), 4)
    alpha = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    alpha[:4] = 0
    PillowImage.fromarray(np.concatenate([rgb, alpha], axis=2)).save(tmp_path / "p20.png")
    draws = ["-p", f"path={desk.folder / 'draws'}", "--run", desk.path("run"), "--out", str(tmp_path / "out")]
    command = ["mask", str(tmp_path / "p20.png"), "--calibration", desk.path("c.json"), "--alpha", "0.9", *draws]
    assert run([*command, "--safe", "--credentials", "--sign-with", desk.path("lab.pem")]) == 0
    for name in PICTURES:
        with PillowImage.open(tmp_path / "out" / name) as opened:
            assert opened.mode == "RGBA"
        assert verified(capsys, str(tmp_path / "out" / name), "--trust", desk.key.key)[0] == 0
    assert verified(capsys, str(tmp_path / "out" / "p20-certificate.json"), "--trust", desk.key.key)[0] == 0


def test_what_a_whole_batch_found_is_said_in_the_pictures_too(desk, tmp_path, capsys):
    for path in (desk.folder / "out").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    paper = tmp_path / "p20-certificate.json"
    sure = bc.Certificate.from_json(paper.read_text()).model_copy(update={"status": "guaranteed", "reason": None})
    paper.write_text(sure.signed(desk.key).to_json())
    assert "the certificate says 'guaranteed'" in verified(capsys, str(paper))[1]["reason"]
    doubted = add_doubt(paper, "the answers moved", desk.key, CertifiedKey.of(desk.key))
    assert (doubted.status, doubted.reason) == ("outside-calibration", "the answers moved")
    for name in PICTURES:
        content, earlier = (folder / name for folder in (tmp_path, desk.folder / "out"))
        assert read_elsewhere(content.read_bytes())[:2] == ("Valid", {UNTRUSTED})
        assert without_credentials(content.read_bytes()) == without_credentials(earlier.read_bytes())
        assert all(manifest in content.read_bytes() for manifest in desk.manifests.values())
        code, _, said = verified(capsys, str(content), "--trust", desk.key.key)
        assert (code, "the answers moved" in said) == (0, True)
    assert verified(capsys, str(paper), "--trust", desk.key.key)[0] == 0


def test_pictures_of_declared_bands_hold_none(desk):
    procedure = bc.Calibration.load(desk.path("c.json")).procedure
    credentials.refuse_bands(procedure)
    vendor = {**procedure.vendor, "parameters": {**procedure.vendor["parameters"], "bands": "4:0:10000"}}
    with pytest.raises(UsageError, match="Leave --credentials out"):
        credentials.refuse_bands(procedure.model_copy(update={"vendor": vendor}))


def test_stdout_and_python_sign_too(desk, tmp_path):
    content = (desk.folder / "p20.png").read_bytes()
    shutil.copytree(desk.folder / "draws" / "p20", desk.folder / "draws" / "stdin")
    common = ["--calibration", desk.path("c.json"), "--alpha", "0.9", "-p", f"path={desk.folder / 'draws'}"]
    signing = ["--credentials", "--sign-with", desk.path("lab.pem"), "--product", "safe", "--run", desk.path("run")]
    done = called_with_input(content, "mask", "-", *common, *signing)
    assert done.returncode == 0, done.stderr
    assert read_credentials(done.stdout, [desk.key.key]).trusted
    vendor = bc.load_adapter("folder", path=str(desk.folder / "draws"), label="made up")
    result = bc.mask(vendor, desk.folder / "p20.png", desk.path("c.json"), alpha=0.9, run=desk.folder / "run")
    saved = result.save(tmp_path, safe=True, credentials=desk.key)
    found = read_credentials(saved.safe.read_bytes())
    assert found.key == desk.key.key
    assert found.mask == saved.mask.read_bytes()


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/manifest.c2pa", asked
    server.shutdown()
    server.server_close()


def test_no_address_in_a_picture_is_asked(desk, listener):
    address, asked = listener
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    elsewhere = image_png(photograph(3), xmp)
    # Left to itself, the library asks.
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader("image/png", io.BytesIO(elsewhere))
    assert asked.pop()
    with pytest.raises(CheckFailedError, match="it names an address where they lie, and no address is asked"):
        read_credentials(elsewhere)
    certificate = bc.Certificate.from_json((desk.folder / "out/p20-certificate.json").read_text())
    mask = Ingredient("p20-mask.png", (desk.folder / "out" / "p20-mask.png").read_bytes())
    part = Ingredient("elsewhere.png", elsewhere)
    made = Provenance(title="t", paper="p", certificate=certificate, given=part, vendor=None, mask=mask)
    said = sign_picture(image_png(photograph(4)), CertifiedKey.of(desk.key), made)[1]
    assert said["of_parts"] == ["elsewhere.png has Content Credentials that are not kept (manifest.inaccessible)"]
    assert not asked


def test_a_certificate_that_names_a_key_it_was_not_issued_by_is_refused(desk, tmp_path, monkeypatch):
    content, honest = (desk.folder / "plain" / "p20-image.png").read_bytes(), signers.named
    root = x509._named(x509.ROOT, desk.key.key.removeprefix("ed25519:"))
    monkeypatch.setattr(signers, "named", lambda name: root if name == "Authority" else honest(name))
    forged, _ = signers.signed_elsewhere(content, "image/png", tmp_path, "Laboratory X")
    with pytest.raises(CheckFailedError, match="and that key did not sign them"):
        read_credentials(forged)
