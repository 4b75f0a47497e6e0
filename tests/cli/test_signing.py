"""Signed calibrations and certificates: who vouches for what, and every way to make them say more than was signed."""

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from support.command_line import called, called_with_input, ended
from support.mutations import mutate, redigested
from support.synthetic import photograph, write_draws, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.sign import read_paper
from blackbox_conformal.documents import ed25519
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.trust_policy import TrustPolicy
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError
from blackbox_conformal.study.mask.products import add_doubt
from blackbox_conformal.support.canonical import digest_json

CERTIFICATE = "p20-certificate.json"
NAMES = {"lab": "Laboratory X", "issuer": "Company Y", "stranger": "Laboratory X"}


@dataclass(frozen=True)
class Desk:
    """A calibration, ``c.json``, signed by a laboratory; a picture masked by it in ``out``, signed by its issuer."""

    folder: Path
    keys: dict[str, SigningKey]

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def calibrate(self, out: str, *more: str) -> int:
        vendor = ["--adapter", "folder", "-p", f"path={self.folder / 'draws'}", "-p", "label=made up"]
        choices = ["--draws", "4", "--score", "pixel-variance", "--metric", "rgb-linf"]
        command = ["calibrate", self.path("photographs"), *vendor, *choices, "--run", self.path("run")]
        return run([*command, "--out", str(out), *more])

    def mask(self, out: str | Path, *more: str, calibration: str | Path | None = None) -> int:
        common = ["-p", f"path={self.folder / 'draws'}", "--run", self.path("run"), "--out", str(out)]
        file = str(calibration or self.path("c.json"))
        return run(["mask", self.path("p20.png"), "--calibration", file, *common, "--alpha", "0.9", *more])

    def copy(self, folder: Path) -> Path:
        """A copy of what was masked; the certificate in it."""
        for path in (self.folder / "out").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return folder / CERTIFICATE


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    keys = {}
    for file, name in NAMES.items():
        keys[file] = SigningKey.new(name)
        keys[file].save(folder / f"{file}.pem")
    write_draws(folder / "draws", [*range(8), 20])
    shutil.copytree(folder / "draws" / "p20", folder / "draws" / "stdin")
    write_photographs(folder / "photographs", range(8))
    small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
    small.save(folder / "p20.png")
    desk = Desk(folder, keys)
    assert desk.calibrate(desk.path("c.json"), "--sign-with", desk.path("lab.pem")) == 0
    plain = replace(Calibration.load(desk.path("c.json")), signature=None)
    plain.save(desk.path("plain.json"))
    assert desk.mask(desk.path("out"), "--sign-with", desk.path("issuer.pem")) == 0
    return desk


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code of `verify`, its document, and what it says."""
    capsys.readouterr()
    code = run(["verify", *arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def test_who_vouches_for_certificate_and_calibration_is_told(desk, capsys):
    lab, issuer = desk.keys["lab"].key, desk.keys["issuer"].key
    papers = (desk.path(f"out/{CERTIFICATE}"), "--calibration", desk.path("c.json"))
    code, (row,), said = verified(capsys, *papers, "--trust", lab, "--trust", issuer, "--require-signature")
    assert (code, row["verified"]) == (0, True)
    assert row["signature"] == {"key": issuer, "name": "Company Y", "checked": True, "trusted": True}
    assert row["calibration_signature"] == {"key": lab, "name": "Laboratory X", "checked": True, "trusted": True}
    assert f'verified; signed by {issuer} (says it is "Company Y"), a key that you trust' in said
    assert f'its calibration: signed by {lab} (says it is "Laboratory X"), a key that you trust' in said
    (certificate,) = [Certificate.from_json(Path(papers[0]).read_text())]
    assert any(f"carries a signature by {lab}" in sentence for sentence in certificate.assumptions)
    assert not any("not signed" in sentence for sentence in certificate.assumptions)


def test_a_key_that_is_not_trusted_vouches_for_nothing(desk, capsys):
    paper, issuer = desk.path(f"out/{CERTIFICATE}"), desk.keys["issuer"]
    for more in ((), ("--require-signature",), ("--calibration", desk.path("c.json"))):
        code, (row,), said = verified(capsys, paper, *more)
        assert (code, row["verified"], row["outcome"]) == (7, False, "signed by a stranger")
        assert row["signature"] == {"key": issuer.key, "name": "Company Y", "checked": True, "trusted": False}
        assert ": verified" not in said
    assert (
        f'signed by a stranger; {issuer.key} (says it is "Company Y"); you have not told verify that you trust' in said
    )
    assert "a key that you trust" not in said
    for key in ("lab", "stranger"):
        code, (row,), said = verified(capsys, paper, "--trust", desk.keys[key].key)
        assert (code, row["verified"]) == (3, False)
        assert "expected a signature by a key that you trust" in said
        assert "you have not told verify" in said


def test_nobody_vouches_for_an_unsigned_paper(desk, tmp_path, capsys):
    path = desk.copy(tmp_path)
    content = json.loads(path.read_text())
    del content["signature"]
    path.write_text(json.dumps(content))
    for paper in (str(path), desk.path("plain.json")):
        code, (row,), said = verified(capsys, paper)
        assert (code, row["verified"], row["signature"]["key"]) == (0, False, None)
        assert "undamaged, not signed, so no key vouches for it" in said
        for more in (["--require-signature"], ["--trust", desk.keys["issuer"].key]):
            code, (row,), said = verified(capsys, paper, *more)
            assert (code, row["verified"]) == (3, False)
            assert "not signed, so no key vouches for it" in said


def test_files_without_signatures_are_those_from_before(desk, tmp_path):
    plain = json.loads(Path(desk.path("plain.json")).read_text())
    assert plain.keys() == json.loads(Path(desk.path("c.json")).read_text()).keys() - {"signature"}
    assert desk.mask(tmp_path, calibration=desk.path("plain.json")) == 0
    content = json.loads((tmp_path / CERTIFICATE).read_text())
    assert not {"signature", "calibration_signature"} & content.keys()
    assert digest_json({name: value for name, value in content.items() if name != "digest"}) == content["digest"]
    assert any("It is not signed, so no key vouches for it" in sentence for sentence in content["assumptions"])
    # The laboratory may sign later.
    code = run(["verify", str(tmp_path / CERTIFICATE), "--calibration", desk.path("c.json")])
    assert code == 0


def change(**members: str) -> Callable[[dict[str, Any], "Desk"], None]:
    return lambda content, desk: content["signature"].update(members)


def other_key(content: dict[str, Any], desk: Desk) -> None:
    content["signature"]["key"] = desk.keys["stranger"].key


def stranger_signs_under_the_key_of_another(content: dict[str, Any], desk: Desk) -> None:
    digest = content["digest"]
    signature = desk.keys["stranger"].sign(content["format"], content["version"], digest)
    content["signature"]["value"] = signature.value


def signature_of_the_calibration(content: dict[str, Any], desk: Desk) -> None:
    signature = Calibration.load(desk.path("c.json")).signature
    assert signature is not None
    content["signature"] = signature.model_dump(mode="json")


def of_another_kind(content: dict[str, Any], desk: Desk) -> None:
    signature = desk.keys["issuer"].sign("blackbox-conformal calibration", content["version"], content["digest"])
    content["signature"] = signature.model_dump(mode="json")


def of_another_version(content: dict[str, Any], desk: Desk) -> None:
    signature = desk.keys["issuer"].sign(content["format"], 1, content["digest"])
    content["signature"] = signature.model_dump(mode="json")


def another_alpha(content: dict[str, Any], desk: Desk) -> None:
    content["alpha"] = 0.0001


def another_calibration(content: dict[str, Any], desk: Desk) -> None:
    """A certificate of nobody's that says that the laboratory vouches for its calibration."""
    del content["signature"]
    content["calibration_digest"] = "sha256:" + "0" * 64


def its_own_calibration_signature(content: dict[str, Any], desk: Desk) -> None:
    del content["signature"]
    signature = desk.keys["stranger"].sign("blackbox-conformal calibration", 3, content["calibration_digest"])
    content["calibration_signature"]["value"] = signature.value


@pytest.mark.parametrize(
    "edit",
    [
        change(name="Laboratory Z"),
        change(format="blackbox-conformal calibration"),
        change(value="0" * 128),
        other_key,
        stranger_signs_under_the_key_of_another,
        signature_of_the_calibration,
        of_another_kind,
        of_another_version,
        another_alpha,
        another_calibration,
        its_own_calibration_signature,
    ],
)
def test_a_signature_of_something_else_is_broken(desk, tmp_path, edit, capsys):
    path = desk.copy(tmp_path)
    content = json.loads(path.read_text())
    signature = content["signature"]
    edit(content, desk)
    signature = content.pop("signature", None)
    text = json.loads(redigested(content))
    path.write_text(json.dumps(text | ({} if signature is None else {"signature": signature})))
    code, (row,), said = verified(capsys, str(path))
    assert (code, row["verified"]) == (3, False)
    assert "signature is broken" in said


def test_a_calibration_that_was_changed_and_digested_anew_is_no_longer_signed(desk, tmp_path):
    content = json.loads(Path(desk.path("c.json")).read_text())
    signature = content.pop("signature")
    content["vendor_models"] = ["another"]
    path = tmp_path / "c.json"
    path.write_text(json.dumps(json.loads(redigested(content)) | {"signature": signature}))
    with pytest.raises(CheckFailedError, match="broken"):
        Calibration.load(path)
    assert run(["verify", str(path)]) == 3
    assert desk.mask(tmp_path / "out", calibration=path) == 3
    assert not (tmp_path / "out").exists()


def test_a_calibration_that_was_changed_after_it_was_signed_is_not_written(desk, tmp_path):
    calibration = Calibration.load(desk.path("c.json"))
    with pytest.raises(CheckFailedError, match="broken"):
        replace(calibration, vendor_models=("another",)).save(tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


def wrapped(text: str) -> dict[str, str]:
    """Texts that say more than was signed."""
    begin = text.index("{") + 1
    inside = text.index('"signature": {') + len('"signature": {')
    return {
        "first of two": text[:begin] + '"statement": "Nothing can go wrong.",' + text[begin:],
        "second of two": text.rstrip()[:-1] + ',"statement": "Nothing can go wrong."}',
        "further member": text[:begin] + '"vouched_by": "everybody",' + text[begin:],
        "further member of the signature": text[:inside] + '"date": "2026-01-01",' + text[inside:],
        "second signature": text.rstrip()[:-1] + ',"signature": null}',
        "second name": text[:inside] + '"name": "Laboratory Z",' + text[inside:],
        "two papers": text + text,
        "a paper in a paper": json.dumps({"certificate": json.loads(text)}),
        "a list": f"[{text}]",
    }


@pytest.mark.parametrize("name", wrapped('{"signature": {}}'))
def test_nothing_can_stand_beside_what_was_signed(desk, tmp_path, name):
    path = desk.copy(tmp_path)
    path.write_text(wrapped(path.read_text())[name])
    assert run(["verify", str(path)]) == 3
    calibration = tmp_path / "c.json"
    calibration.write_text(wrapped(Path(desk.path("c.json")).read_text())[name])
    with pytest.raises(BlackboxConformalError):
        Calibration.load(calibration)


def test_a_made_up_certificate_of_a_signed_calibration_is_nobodys(desk, tmp_path, capsys):
    path = desk.copy(tmp_path)
    content = json.loads(path.read_text())
    del content["signature"]
    path.write_text(redigested(content | {"statement": "Nothing can go wrong."}))
    lab = desk.keys["lab"].key
    code, (row,), said = verified(capsys, str(path))
    assert (code, row["signature"]["trusted"]) == (0, False)
    assert "not signed, so no key vouches for it" in said
    code, (row,), said = verified(capsys, str(path), "--trust", lab)
    assert (code, row["verified"]) == (3, False)
    assert "a key that you trust" not in said.replace("expected a signature by a key that you trust", "")


def test_pictures_of_another_certificate_are_found(desk, tmp_path, capsys):
    path = desk.copy(tmp_path)
    (tmp_path / "p20-mask.png").write_bytes((tmp_path / "p20-overlay.png").read_bytes())
    code, _, said = verified(capsys, str(path), "--trust", desk.keys["issuer"].key)
    assert code == 3
    assert "p20-mask.png was changed" in said


def test_a_calibration_whose_signature_was_taken_away_or_replaced_is_noticed(desk, tmp_path, capsys):
    paper = desk.path(f"out/{CERTIFICATE}")
    code, _, said = verified(capsys, paper, "--calibration", desk.path("plain.json"))
    assert code == 3
    assert "and now it is not signed" in said
    others = Calibration.load(desk.path("plain.json")).signed(desk.keys["stranger"]).save(tmp_path / "c.json")
    code, _, said = verified(capsys, paper, "--calibration", str(others))
    assert code == 3
    assert f"and now it is signed by {desk.keys['stranger'].key}" in said
    capsys.readouterr()
    assert run(["verify", paper, "--calibration", str(others), "--trust", desk.keys["issuer"].key]) == 3
    assert "expected a signature by a key that you trust" in capsys.readouterr().err


def test_no_flipped_bit_of_a_signed_certificate_is_verified(desk, tmp_path):
    rng = random.Random(5)
    path = desk.copy(tmp_path)
    honest = path.read_bytes()
    start = honest.index(b'"signature": {')
    spots = [*rng.sample(range(len(honest)), 200), *range(start, len(honest))]
    for spot in spots:
        path.write_bytes(honest[:spot] + bytes([honest[spot] ^ 1 << rng.randrange(7)]) + honest[spot + 1 :])
        try:
            paper = read_paper(path)
        except BlackboxConformalError:
            continue
        # Space between members carries nothing.
        assert paper.to_json().encode() == honest, spot
        assert honest[spot : spot + 1].isspace(), spot


def test_no_edit_of_a_signed_certificate_is_verified(desk, tmp_path):
    rng = random.Random(6)
    path = desk.copy(tmp_path)
    honest = json.loads(path.read_text())
    for number in range(200):
        content, where = mutate(honest, rng, 1)
        signature = content.pop("signature", None)
        signed = {} if signature is None else {"signature": signature}
        try:
            path.write_text(json.dumps(json.loads(redigested(content)) | signed), errors="surrogatepass")
            paper = read_paper(path)
        except (BlackboxConformalError, RecursionError):
            continue
        unchanged = json.loads(paper.to_json()) | {"digest": honest["digest"]} == honest
        assert unchanged or paper.signature is None, (number, where)


def test_masks_and_audits_refuse_a_calibration_of_somebody_else(desk, tmp_path, capsys):
    lab, stranger = desk.keys["lab"].key, desk.keys["stranger"].key
    assert desk.mask(tmp_path / "a", "--trust", lab) == 0
    assert f'signed by {lab} (says it is "Laboratory X"), a key that you trust' in capsys.readouterr().err
    for calibration, key in (("c.json", stranger), ("plain.json", lab)):
        assert desk.mask(tmp_path / "b", "--trust", key, calibration=desk.path(calibration)) == 3
        audit = ["audit", desk.path("photographs"), "--calibration", desk.path(calibration), "--trust", key]
        assert run([*audit, "-p", f"path={desk.path('draws')}", "--run", str(tmp_path / "run")]) == 3
        assert "expected a signature by a key that you trust" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "run").exists()
    assert desk.mask(tmp_path / "c") == 0
    assert "you have not told mask that you trust this key" in capsys.readouterr().err
    # One's own key is told of as trusted, and lets nothing in that --trust does not.
    own = ("--sign-with", desk.path("lab.pem"))
    assert desk.mask(tmp_path / "d", *own) == 0
    said = capsys.readouterr().err
    assert f'signed by {lab} (says it is "Laboratory X"), a key that you trust' in said
    assert "you have not told" not in said
    assert desk.mask(tmp_path / "e", *own, "--trust", stranger) == 3


def test_the_same_command_signs_the_same_bytes(desk, tmp_path):
    path, sign = tmp_path / "c.json", ["--sign-with", desk.path("lab.pem")]
    assert desk.calibrate(str(path)) == 0
    unsigned = path.read_bytes()
    assert unsigned == Path(desk.path("plain.json")).read_bytes()
    assert desk.calibrate(str(path), *sign) == 0
    assert path.read_bytes() == Path(desk.path("c.json")).read_bytes()
    # A signature is kept by who does not sign, and not replaced by who signs with another key.
    assert desk.calibrate(str(path)) == 0
    assert desk.calibrate(str(path), "--sign-with", desk.path("stranger.pem")) == 2
    assert path.read_bytes() == Path(desk.path("c.json")).read_bytes()
    assert desk.calibrate(str(path), "--force") == 0
    assert path.read_bytes() == unsigned


def test_masking_again_keeps_a_signature_or_says_that_it_would_be_lost(desk, tmp_path, capsys):
    path, sign = desk.copy(tmp_path), ["--sign-with", desk.path("issuer.pem")]
    honest = path.read_bytes()
    assert desk.mask(tmp_path) == 0
    assert desk.mask(tmp_path, *sign) == 0
    assert path.read_bytes() == honest
    capsys.readouterr()
    assert desk.mask(tmp_path, "--safe") == 2
    assert "would be written without its signature" in capsys.readouterr().err
    assert desk.mask(tmp_path, "--sign-with", desk.path("stranger.pem")) == 2
    assert "has another signature" in capsys.readouterr().err
    assert path.read_bytes() == honest
    assert desk.mask(tmp_path, "--safe", *sign) == 0
    certificate = Certificate.from_json(path.read_text())
    assert "safe" in certificate.outputs
    assert certificate.vouching([desk.keys["issuer"].key]).trusted


def test_what_others_wrote_into_a_certificate_is_not_signed(desk, tmp_path, capsys):
    assert desk.mask(tmp_path) == 0
    path = tmp_path / CERTIFICATE
    content = json.loads(path.read_text())
    image = content["outputs"]["image"]
    content["outputs"]["safe"] = {**image, "file": "p20-safe.png", "statement": "Nothing can go wrong."}
    path.write_text(redigested(content))
    (tmp_path / "p20-safe.png").write_bytes((tmp_path / image["file"]).read_bytes())
    assert run(["verify", str(path)]) == 0
    capsys.readouterr()
    assert desk.mask(tmp_path, "--sign-with", desk.path("issuer.pem")) == 2
    assert "names a file that is not written now, safe" in capsys.readouterr().err


def test_a_note_is_added_only_to_what_was_signed(desk, tmp_path):
    path, key = desk.copy(tmp_path), desk.keys["issuer"]
    add_doubt(path, "remark", key)
    certificate = Certificate.from_json(path.read_text())
    assert certificate.notes[-1] == "remark"
    assert certificate.vouching([key.key]).trusted
    content = json.loads(path.read_text())
    signature = content.pop("signature")
    path.write_text(json.dumps(json.loads(redigested(content | {"alpha": 0.1})) | {"signature": signature}))
    with pytest.raises(CheckFailedError, match="not signed again"):
        add_doubt(path, "another", key)
    add_doubt(path, "another")
    assert Certificate.from_json(path.read_text()).signature is None


def test_papers_are_signed_later(desk, tmp_path, capsys):
    with_lab = ["--sign-with", desk.path("lab.pem")]
    path = tmp_path / "c.json"
    path.write_bytes(Path(desk.path("plain.json")).read_bytes())
    assert run(["sign", str(path), *with_lab]) == 0
    assert path.read_bytes() == Path(desk.path("c.json")).read_bytes()
    assert run(["sign", str(path), *with_lab]) == 0
    assert path.read_bytes() == Path(desk.path("c.json")).read_bytes()
    certificate = desk.copy(tmp_path)
    honest = certificate.read_bytes()
    capsys.readouterr()
    # The calibration comes first and is left alone, since the certificate cannot be signed.
    path.write_bytes(Path(desk.path("plain.json")).read_bytes())
    assert run(["sign", str(path), str(certificate), *with_lab]) == 2
    assert f"is signed by {desk.keys['issuer'].key}" in capsys.readouterr().err
    assert path.read_bytes() == Path(desk.path("plain.json")).read_bytes()
    assert run(["sign", str(path), str(certificate), *with_lab, "--force"]) == 0
    capsys.readouterr()
    said = ended(capsys, ["verify", str(path), str(certificate), "--trust", desk.keys["lab"].key]).out
    assert f"Next: blackbox-conformal audit other-photographs --calibration {path}" in said
    assert said.rstrip().endswith(f" --trust {desk.keys['lab'].key}"), "the next command asks for the same key"
    certificate.write_bytes(honest)
    (tmp_path / "p20-mask.png").unlink()
    assert run(["sign", str(certificate), "--sign-with", desk.path("issuer.pem")]) == 3
    (tmp_path / "other.json").write_text("{}")
    assert run(["sign", str(tmp_path / "other.json"), *with_lab]) == 2


def test_without_the_extra_nothing_counts_as_verified(desk, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ed25519, "is_installed", lambda: False)
    paper, lab = desk.path(f"out/{CERTIFICATE}"), desk.keys["lab"].key
    for more in ([], ["--trust", desk.keys["issuer"].key], ["--require-signature"]):
        code, (row,), said = verified(capsys, paper, *more)
        assert (code, row["verified"], row["signature"]["checked"]) == (2, False, False)
        assert "pip install 'blackbox-conformal[sign]'" in said
        assert "a key that you trust" not in said
    assert run(["verify", paper, "--calibration", desk.path("c.json")]) == 2
    assert "undamaged, carries a signature by" in capsys.readouterr().out
    assert run(["verify", desk.path("plain.json")]) == 0
    assert run(["verify", desk.path("plain.json"), "--trust", lab]) == 3
    assert desk.mask(tmp_path / "out", "--trust", lab) == 2
    assert desk.mask(tmp_path / "out", "--sign-with", desk.path("issuer.pem")) == 2
    assert run(["sign", desk.path("plain.json"), "--sign-with", desk.path("lab.pem")]) == 2
    assert run(["key", "new", str(tmp_path / "key.pem"), "--name", "X"]) == 2
    capsys.readouterr()
    assert desk.mask(tmp_path / "out") == 0
    assert "which is not checked: pip install" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["trust", "sign-with", "require-signature"])
@pytest.mark.parametrize("where", [".", ".."])
def test_a_projects_settings_file_neither_signs_nor_trusts(desk, tmp_path, setting, where, monkeypatch, capsys):
    (tmp_path / "project" / ".git").mkdir(parents=True)
    here = tmp_path / "project" / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    values = {"trust": f'["{desk.keys["lab"].key}"]', "sign-with": f'"{desk.path("lab.pem")}"'}
    line = f"{setting} = {values.get(setting, 'false')}\n"
    command = "calibrate" if setting == "sign-with" else "verify"
    for text in (line, f"[{command}]\n{line}"):
        file = here / where / "blackbox-conformal.toml"
        file.write_text(text)
        assert run(["verify", desk.path("c.json")]) == 2
        assert f"which a project's settings file may not; type --{setting}" in capsys.readouterr().err
        file.unlink()


def test_the_users_own_file_and_the_environment_say_who_is_trusted(desk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    own = tmp_path / "home" / "blackbox-conformal" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'trust = ["{desk.keys["stranger"].key}"]\n')
    assert run(["verify", desk.path("c.json")]) == 3
    monkeypatch.setenv("BLACKBOX_CONFORMAL_TRUST", desk.keys["lab"].key)
    assert run(["verify", desk.path("c.json")]) == 0
    assert run(["verify", desk.path("c.json"), "--trust", desk.keys["issuer"].key]) == 3
    (tmp_path / "lab.pub").write_text(desk.keys["lab"].key)
    assert run(["verify", desk.path("c.json"), "--trust", "lab.pub"]) == 0
    monkeypatch.setenv("BLACKBOX_CONFORMAL_TRUST", "lab.pub")
    assert run(["verify", desk.path("c.json")]) == 2
    monkeypatch.setenv("BLACKBOX_CONFORMAL_TRUST", str(tmp_path / "lab.pub"))
    assert run(["verify", desk.path("c.json")]) == 0
    plain = tmp_path / "plain.json"
    plain.write_bytes(Path(desk.path("plain.json")).read_bytes())
    own.write_text(f'sign-with = "{desk.path("lab.pem")}"\n')
    assert run(["sign", str(plain)]) == 0
    assert plain.read_bytes() == Path(desk.path("c.json")).read_bytes()


def written(path: Path, *signers: str) -> str:
    path.write_text("".join(f"[[signer]]\n{signer}\n" for signer in signers))
    return str(path)


TODAY = datetime.now(UTC).date()


def test_a_policy_says_who_may_sign_what_and_until_when(desk, tmp_path, capsys):
    lab, issuer = (f'key = "{desk.keys[name].key}"' for name in ("lab", "issuer"))
    papers = [desk.path("c.json"), desk.path(f"out/{CERTIFICATE}")]
    certifies = f'{issuer}\npapers = ["certificate"]'
    policy = written(tmp_path / "policy.toml", f'{lab}\npapers = ["calibration"]\nuntil = {TODAY}', certifies)
    code, rows, _ = verified(capsys, *papers, "--calibration", papers[0], "--trust", policy)
    assert (code, [row["verified"] for row in rows]) == (0, [True, True])
    yesterday, tomorrow = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
    refused = {
        f'{lab}\npapers = ["certificate", "claim"]': "lets this key sign: certificate, claim; this is a calibration",
        f"{lab}\nuntil = {yesterday}": f"lets this key sign until {yesterday}, and nothing shows",
        f"{lab}\nrevoked = {yesterday}": f"revoked this key on {yesterday}, and no time stamp helps",
        f"{lab}\nrevoked = {tomorrow}": f"revoked this key on {tomorrow}, and no time stamp helps",
        f'key = "{desk.keys["stranger"].key}"': "you have not told verify that you trust this key",
    }
    for signer, says in refused.items():
        policy = written(tmp_path / "policy.toml", signer, certifies)
        code, rows, said = verified(capsys, *papers, "--trust", policy)
        assert (code, [row["verified"] for row in rows]) == (3, [False, True])
        assert says in said
        vouching = Calibration.load(papers[0]).vouching(TrustPolicy.load(policy))
        assert (vouching.checked, vouching.trusted) == (True, False)
        for command in (["audit", desk.path("photographs")], ["mask", desk.path("p20.png"), "--alpha", "0.9"]):
            vendor = ["-p", f"path={desk.folder / 'draws'}", "--calibration", papers[0], "--trust", policy]
            assert run([*command, *vendor, "--run", str(tmp_path / "run")]) == 3
            assert not (tmp_path / "run").exists()


def test_a_policy_that_might_mean_something_else_is_refused(desk, tmp_path, capsys):
    lab = f'key = "{desk.keys["lab"].key}"'
    cases = {
        (): "signer: it is required",
        (f"{lab}\nrevokd = {TODAY}",): "signer.0.revokd",
        (f'{lab}\nuntil = "{TODAY}"',): "signer.0.until",
        (f"{lab}\npapers = []",): "signer.0.papers",
        (f'{lab}\npapers = ["everything"]',): "signer.0.papers.0",
        (lab.replace("ed25519:", ""),): "expected a public key",
        (lab, f"{lab}\nrevoked = {TODAY}"): "stands twice",
        (lab.replace('"', ""),): "expected a policy in TOML",
    }
    for signers, says in cases.items():
        policy = written(tmp_path / "policy.toml", *signers)
        capsys.readouterr()
        assert run(["verify", desk.path("c.json"), "--trust", policy]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert len(said.splitlines()) == 1
    revoked = written(tmp_path / "policy.toml", f"{lab}\nrevoked = {TODAY}")
    alone = desk.keys["lab"].key
    assert run(["verify", desk.path("c.json"), "--trust", revoked, "--trust", alone]) == 2, "no key undoes a policy"


def test_keys_and_passphrases_are_written_nowhere(desk, tmp_path, monkeypatch, capsys):
    passphrase = "correct horse battery"
    monkeypatch.setenv("BLACKBOX_CONFORMAL_SIGNING_PASSPHRASE", passphrase)
    key = tmp_path / "key.pem"
    assert run(["key", "new", str(key), "--name", "Laboratory X", "--passphrase"]) == 0
    assert run(["key", "show", str(key), "--json"]) == 0
    sign = ["--sign-with", str(key), "-vv"]
    assert desk.calibrate(str(tmp_path / "c.json"), *sign, "--run", str(tmp_path / "run")) == 0
    assert desk.mask(tmp_path / "out", *sign, "--run", str(tmp_path / "run"), calibration=tmp_path / "c.json") == 0
    monkeypatch.setenv("BLACKBOX_CONFORMAL_SIGNING_PASSPHRASE", "not " + passphrase)
    assert run(["sign", str(tmp_path / "c.json"), *sign]) == 2
    monkeypatch.delenv("BLACKBOX_CONFORMAL_SIGNING_PASSPHRASE")
    assert run(["sign", str(tmp_path / "c.json"), *sign]) == 2
    said = "".join(capsys.readouterr())
    secret = SigningKey.load(key, passphrase)._private._key.private_bytes_raw()
    lines = key.read_text().split("-----")[2].split()
    forbidden = [*map(str.encode, (passphrase, secret.hex(), *lines)), secret]
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != key}
    assert {"c.json", CERTIFICATE, "manifest.json"} <= {path.name for path in written}
    for text in forbidden:
        assert text.decode("latin-1") not in said
        assert not [path for path, content in written.items() if text in content]


def test_a_passphrase_is_no_option_and_comes_from_a_file_too(tmp_path, monkeypatch, capsys):
    key, file = str(tmp_path / "key.pem"), tmp_path / "passphrase"
    assert run(["key", "new", key, "--name", "X", "--passphrase", "secret words"]) == 2
    assert run(["key", "new", key, "--name", "X", "--passphrase"]) == 2
    assert "BLACKBOX_CONFORMAL_SIGNING_PASSPHRASE" in capsys.readouterr().err
    assert not Path(key).exists()
    file.write_text("secret words\n")
    monkeypatch.setenv("BLACKBOX_CONFORMAL_SIGNING_PASSPHRASE_FILE", str(file))
    public = ended(capsys, ["key", "new", key, "--name", "X", "--passphrase"]).out
    assert ended(capsys, ["key", "show", key]).out == public
    assert SigningKey.load(key, "secret words").key in public


def test_a_certificate_on_stdout_is_signed_and_a_mistyped_variable_noticed(desk, tmp_path):
    common = ["--calibration", desk.path("c.json"), "-p", f"path={desk.path('draws')}", "--run", desk.path("run")]
    sign = ["--product", "certificate", "--sign-with", desk.path("issuer.pem")]
    small = (desk.folder / "p20.png").read_bytes()
    made = called_with_input(small, "mask", "-", *common, "--alpha", "0.9", *sign, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert Certificate.from_json(made.stdout.decode()).vouching([desk.keys["issuer"].key]).trusted
    typo = {"BLACKBOX_CONFORMAL_SIGNING_PASFRASE": "x"}
    refused = called("verify", desk.path("plain.json"), code=2, **typo)
    assert "did you mean BLACKBOX_CONFORMAL_SIGNING_PASSPHRASE" in refused.stderr


@pytest.mark.parametrize("empty", ["", "  "])
def test_trusting_an_empty_setting_is_an_error(desk, empty, monkeypatch, capsys):
    monkeypatch.setenv("BLACKBOX_CONFORMAL_TRUST", empty)
    said = ended(capsys, ["verify", desk.path("plain.json")], 2).err
    assert "expected public keys (ed25519:…) in environment BLACKBOX_CONFORMAL_TRUST; it is empty" in said
    assert run(["verify", desk.path("c.json"), "--trust", desk.keys["lab"].key]) == 0


ODD_DEGRADATIONS = ["evilmod:X", "bicubic\x1b[31m", "evilmod.steps:X=1", "", "bicubic: factor=4\x1f"]


@pytest.mark.parametrize("degradation", ODD_DEGRADATIONS)
def test_verify_takes_no_degradation_that_mask_would_refuse(desk, tmp_path, degradation, capsys):
    content = json.loads(Path(desk.path("plain.json")).read_text())
    content["procedure"]["degradation"] = degradation
    path = tmp_path / "edited.json"
    path.write_text(redigested(content))
    found = ended(capsys, ["verify", str(path)], 3)
    assert "not verified" in found.out
    assert "\x1b" not in found.out + found.err
    assert "evilmod" not in sys.modules
