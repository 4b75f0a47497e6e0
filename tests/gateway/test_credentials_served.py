"""Content Credentials of a gateway: in pictures that it makes, never in a vendor's file."""

from types import SimpleNamespace

import numpy as np
from support.gateway import picture, serving
from support.report_material import make_calibration, make_result

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run as run_command
from blackbox_conformal.documents.credentials import read_credentials
from blackbox_conformal.documents.x509 import CertifiedKey
from blackbox_conformal.gateway.file_store import FileStore
from blackbox_conformal.gateway.served_pictures import keep_masked
from blackbox_conformal.method.images.read import read_image


def test_the_safe_picture_is_signed_and_the_vendors_file_is_served_as_it_is(calibration, vendor, tmp_path):
    key = bc.SigningKey.new("Company Y")
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        found = gateway.json(picture(0))["blackbox_conformal"]
        plain = {name: gateway.get(found[name]).content for name in ("picture", "safe")}
    with serving(calibration, vendor, tmp_path / "run", credentials=CertifiedKey.of(key)) as gateway:
        found = gateway.json(picture(0))["blackbox_conformal"]
        files = {name: gateway.get(found[name]).content for name in ("picture", "safe", "mask", "certificate")}
    assert files["picture"] == plain["picture"]
    for name, content in files.items():
        (tmp_path / f"{name}.{'json' if name == 'certificate' else 'png'}").write_bytes(content)
    for name, code in (("safe.png", 7), ("certificate.json", 0)):
        assert run_command(["verify", str(tmp_path / name), "--calibration", str(calibration)]) == code
    credentials = read_credentials(files["safe"], [key.key])
    assert credentials.trusted
    assert credentials.mask == files["mask"]
    assert credentials.claim["statement"] == bc.Certificate.from_json(files["certificate"].decode()).stated
    assert [one.get("file") for one in credentials.claim["files"].values()] == [
        "in",
        "picture.png",
        "mask.png",
        "certificate.json",
    ]
    assert np.array_equal(*(read_image(one).pixels for one in (files["safe"], plain["safe"])))


def test_a_picture_that_the_gateway_made_is_signed_and_its_certificate_says_so(tmp_path):
    key, kept = bc.SigningKey.new("Company Y"), FileStore(tmp_path, SimpleNamespace(locate=lambda digest: None))
    result = make_result(make_calibration(), "mean of several", 0, 0.2)
    outcome = keep_masked(result, kept, None, CertifiedKey.of(key))
    content, paper = (kept.read(outcome.files[name].digest) for name in ("picture", "certificate"))
    credentials = read_credentials(content, [key.key])
    assert (credentials.trusted, set(credentials.claim["files"])) == (True, {"input", "mask", "certificate"})
    output = bc.Certificate.from_json(paper.decode()).outputs["picture"]
    assert output["credentials"] == {"signed_by": credentials.signer, "of_parts": []}
    assert np.array_equal(read_image(content).pixels, result.image)
