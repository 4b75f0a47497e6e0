"""Whatever is served says what it promises: every promise, cascades, Content Credentials."""

import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo
from study.test_cascades import KINDS, of_servers, small
from support.gateway import picture, serving
from support.report_material import make_calibration, make_result
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run as run_command
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.credentials import read_credentials
from blackbox_conformal.documents.x509 import CertifiedKey
from blackbox_conformal.gateway.file_store import FileStore
from blackbox_conformal.gateway.served_pictures import keep_masked, marked
from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.overlay import overlay
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.trust import threshold_json
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support.text import vendor_title
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

TERMS = {"max_calls": 40, "metric": "lab-l1:kernel=gaussian,sigma=2", "score": "bicubic-gap"}

OF_DETAIL = "the detail that the vendor"

PROMISES = {
    "marked:ceiling=9,largest_error=1.2": OF_DETAIL,
    "clear-share:ceiling=9": OF_DETAIL,
    "per-image:of=marked,ceiling=9,delta=0.2": OF_DETAIL,
    "high-probability:of=marked,ceiling=9,delta=0.4": OF_DETAIL,
    "all-but:share=0.05": "when the worst of them, 5 % of the whole picture, are left out",
    "false-trust:tolerance=0.1": "the share of the picture that is trusted although",
    "local:side=8": "a square of 8×8 pixels",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and a run folder that each calibration of them takes its draws from."""
    folder = tmp_path_factory.mktemp("promises")
    write_photographs(folder / "photographs", range(9))
    return folder


@pytest.mark.parametrize("promise", PROMISES)
def test_the_gateway_says_and_keeps_what_was_promised(promise, drawn, vendor, tmp_path):
    made = bc.calibrate(vendor, drawn / "photographs", run=drawn / "run", guarantee=promise, **TERMS)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    alpha = 0.9
    with serving(tmp_path / "calibration.json", vendor, tmp_path / "run", alpha=alpha) as gateway:
        answer = gateway.post(picture(0))
        told = gateway.json(picture(0))["blackbox_conformal"]
        files = {name: gateway.get(told[name]) for name in ("certificate", "mask", "overlay", "safe")}
        masks, shares, paid = (gateway.metric(name) for name in ("masks_total", "trusted_shares_total", "spent_usd"))
    alone = bc.mask(vendor, picture(0), calibration, alpha, run=tmp_path / "alone", max_calls=1)
    certificate = Certificate.from_json(files["certificate"].text)

    assert (
        certificate.statement
        == alone.certificate.statement
        == statement(calibration.rule(), alpha, 9, calibration.procedure.metric)
    )
    assert PROMISES[promise] in certificate.statement
    assert certificate.statement in told["guarantee"]
    assert answer.headers["x-blackbox-conformal-promise"] == told["promise"] == certificate.promise
    assert contradictions(certificate, calibration) == []
    assert answer.headers["x-blackbox-conformal-status"] == certificate.status == "if-like-calibration"
    threshold = calibration.rule().threshold(calibration.curves_for(calibration.rule()), alpha)
    assert answer.headers["x-blackbox-conformal-threshold"] == str(threshold_json(threshold))
    assert float(answer.headers["x-blackbox-conformal-trusted-share"]) == round(alone.mask.mean(), 6)
    assert alone.mask.mean() > 0, "a mask of nothing would keep every promise"
    assert (masks, shares, paid) == (2, pytest.approx(2 * alone.mask.mean()), 0.01)

    shown = {name: _pixels(files[name].content) for name in ("mask", "overlay", "safe")}
    np.testing.assert_array_equal(shown["mask"], alone.mask)
    np.testing.assert_array_equal(shown["safe"], alone.safe)
    assert b"compositeWithTrainedAlgorithmicMedia" in files["safe"].content
    dotted = alone.detail if PROMISES[promise] == OF_DETAIL else None
    np.testing.assert_array_equal(shown["overlay"], overlay(alone.image, alone.mask, dotted))


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(content)))


def png(seed: int) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(small(seed)).save(file, "PNG")
    return file.getvalue()


def calibrated(vendor, folder: Path) -> list[Path]:
    """The calibration of a cascade, and that of all but its last vendor."""
    photographs = write_photographs(folder / "photographs", range(8))
    spending = {"run": folder / "run", "max_cost": 1, **KINDS}
    every = {"calibration": vendor, "left": vendor.without_last()}
    return [bc.calibrate(one, photographs, **spending).save(folder / f"{name}.json") for name, one in every.items()]


@pytest.mark.parametrize("fallback", [True, False])
def test_the_gateway_serves_a_cascade(tmp_path, *, fallback):
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        file, left = calibrated(vendor, tmp_path)
        settings = {"max_cost": "0.035", **({"fallback": str(left)} if fallback else {})}
        with serving(file, vendor, tmp_path / "served", settings=settings) as gateway:
            answers = [gateway.post(png(seed)) for seed in (20, 20, 21)]
            told = [gateway.get(one.headers["x-blackbox-conformal-certificate"]).json() for one in answers[:2]]
        assert [one.status_code for one in answers] == [200, 200, 200 if fallback else 402]
        assert [one["vendor_model"][:13] for one in told] == ["vendor 2 of 2"] * 2
        # Equal pictures are paid for once; the one without room for both vendors is paid at the first alone, or not.
        assert [server.account.paid - 8 for server in (cheap, dear)] == [2 if fallback else 1, 1]


def test_an_operator_sees_which_vendor_is_down_what_each_costs_and_why_pictures_fell_back(tmp_path, caplog):
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        file, left = calibrated(vendor, tmp_path)
        first, last = (f"{place} {vendor_title(one.identity())}" for place, one in enumerate(vendor.members, 1))
        dear.script = {"submit": "picture:kind=html"}
        settings = {"max_cost": "9", "fallback": str(left)}
        with serving(file, vendor, tmp_path / "served", settings=settings) as gateway:
            assert gateway.get("/readyz").json() == {"ready": True}
            for seed in range(20, 34):
                assert gateway.post(png(seed)).status_code == 200
            down = [gateway.metric(f'vendor_down{{vendor="{name}"}}') for name in (first, last)]
            spent = [gateway.metric(f'vendor_spent_usd_total{{vendor="{name}"}}') for name in (first, last)]
            why = {reason: gateway.metric(f'fallbacks_total{{reason="{reason}"}}') for reason in ("unusable", "down")}
            ready = gateway.get("/readyz")
        assert (down, spent) == ([0, 1], pytest.approx([0.14, 0.01 * (dear.account.paid - 8)]))
        assert 0.01 < spent[1] < 0.14
        assert sum(why.values()) == 14
        assert why["down"] > 0
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "vendors_down": [last]})
    told = [record.getMessage() for record in caplog.records if "no usable answers" in record.getMessage()]
    assert len(told) == 1
    assert f"the vendor {last} gives no usable answers: pictures that go on get the answer before" in told[0]


KEPT = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' + (
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="kept of the vendor"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def written(form: str, **options) -> bytes:
    file = io.BytesIO()
    PillowImage.open(io.BytesIO(picture(9))).save(file, form, **options)
    return file.getvalue()


SENT = {"png": {}, "unmasked": {"submit": "model:name=other"}, "jpeg": {"submit": "picture:kind=jpeg"}} | {
    "webp": {"submit": "picture:kind=webp"}
}


@pytest.mark.parametrize("sent", SENT)
def test_an_answer_says_that_a_model_made_part_of_it(sent, calibration, tmp_path):
    with FaultServer() as server:
        server.script = SENT[sent]
        vendor = SynchronousVendor(url=server.url)
        with serving(calibration, vendor, tmp_path / "run") as gateway:
            answer = gateway.post(picture(3))
        paid = next((tmp_path / "run" / "samples").glob("*/*.*")).read_bytes()
    assert answer.headers["x-blackbox-conformal-digital-source-type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    for name in ("mask", "certificate"):
        assert (f"{name}." in _xmp(answer.content)) == (f"x-blackbox-conformal-{name}" in answer.headers)
    assert "compositeWithTrainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>" in _xmp(answer.content)
    assert "A machine enlarged or restored this picture" in _xmp(answer.content)
    assert np.array_equal(_pixels(answer.content), _pixels(paid))


FORMS = {
    "PNG": {},
    "PNG with XMP": {"pnginfo": "xmp"},
    "JPEG": {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0", "quality": 80},
    "JPEG with XMP": {"xmp": KEPT.encode(), "progressive": True},
    "WEBP": {"quality": 80},
    "WEBP lossless": {"lossless": True},
    "WEBP with XMP": {"xmp": KEPT.encode(), "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_mark_changes_no_pixel_and_keeps_what_the_vendor_said(form):
    options = dict(FORMS[form])
    if "pnginfo" in options:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", KEPT)
    content = written(form.split()[0], **options)
    found = marked(content, "mask.png", "certificate.json")
    assert np.array_equal(_pixels(found), _pixels(content))
    assert ("kept of the vendor" in _xmp(found)) == ("XMP" in form)
    assert found.count(b"compositeWithTrained") == found.count(b"<x:xmpmeta") == 1
    exif = [PillowImage.open(io.BytesIO(one)).info.get("exif") for one in (content, found)]
    assert exif[0] == exif[1]
    assert inspect(found).trailing == 0
    assert marked(content + b"more", "mask.png", "certificate.json") == found + b"more"


def test_a_file_that_its_maker_signed_stays_as_it_is():
    plain = written("PNG")
    chunk = b"caBXa manifest"
    signed = plain[:33] + struct.pack(">I", 10) + chunk + struct.pack(">I", zlib.crc32(chunk)) + plain[33:]
    assert marked(plain) != plain
    assert marked(signed) == signed
    jpeg = written("JPEG")
    first_table = jpeg.index(b"\xff\xdb")
    for place in (2, first_table, first_table + 2 + int.from_bytes(jpeg[first_table + 2 : first_table + 4])):
        signed = jpeg[:place] + b"\xff\xeb\0\x08JP\0\1\0\0" + jpeg[place:]
        assert marked(signed) == signed


def test_a_mark_that_has_no_room_beside_what_the_vendor_said_stands_alone():
    long = KEPT.replace("kept of the vendor", "kept of the vendor " + "x" * 65000)
    found = marked(written("JPEG", xmp=long.encode()))
    assert "kept of the vendor" not in _xmp(found)
    assert "compositeWithTrained" in _xmp(found)


def _xmp(content: bytes) -> str:
    with PillowImage.open(io.BytesIO(content)) as opened:
        opened.load()
        packet = opened.info["xmp"]
    return packet if isinstance(packet, str) else packet.decode()


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
    named = [one.get("file") for one in credentials.claim["files"].values()]
    assert named == ["in", "picture.png", "mask.png", "certificate.json"]
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
