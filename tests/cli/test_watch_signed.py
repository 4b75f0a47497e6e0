"""A watch whose calibration is signed: who writes into it, who heeds it, and how an older file shows."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.synthetic import write_photographs
from support.watch_post import CHANGED, Post

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.study.python.functions import audit, mask
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.watching.visit.visiting import watch


@pytest.fixture
def post(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Post]:
    """A calibration that a laboratory signed, with the canaries of its watch."""
    for name in ("lab", "company"):
        SigningKey.new(name).save(tmp_path / f"{name}.pem")
    with FaultServer() as server:
        made = Post(tmp_path, server, capsys)
        made.calibrate(2, "--canaries", "1", "--sign-with", str(tmp_path / "lab.pem"))
        yield made


def key_of(post: Post, name: str) -> SigningKey:
    return SigningKey.load(post.folder / f"{name}.pem")


def sign_with(post: Post, name: str = "lab") -> tuple[str, str]:
    return "--sign-with", str(post.folder / f"{name}.pem")


def masked(post: Post, *more: str, calibration: str | None = None) -> tuple[int, str, dict[str, Any]]:
    """Mask the picture ``small.png`` into the folder ``masked``, and its certificate."""
    command = ["mask", str(post.folder / "small.png"), "--calibration", calibration or post.calibration, *post.common]
    code = run([*command, "--out", str(post.folder / "masked"), "--alpha", "0.9", *more])
    said = post.capsys.readouterr().err.replace("\n", " ")
    return code, said, json.loads((post.folder / "masked" / "small-certificate.json").read_text())


def verified(post: Post, *words: str) -> tuple[int, list[dict[str, Any]]]:
    post.capsys.readouterr()
    code = run(["verify", *words, "--json"])
    return code, json.loads(post.capsys.readouterr().out)


def test_a_visit_to_a_signed_calibration_needs_a_key_and_masks_heed_whose_it_is(post):
    paid = post.paid
    assert run(post.words()) == 2
    assert "expected --sign-with FILE, since the calibration is signed by" in post.capsys.readouterr().err
    assert post.paid == paid, "nothing was bought"
    code, document, said = post.watch(*sign_with(post))
    assert (code, document["head"]["state"], document["signed"]["entries"]) == (0, "watched", 2), said
    assert "the key that signed the calibration" in said.replace("\n", " ")
    assert post.mask()[0] == 0
    # Another's visits count where the other is trusted.
    company, lab = key_of(post, "company").key, key_of(post, "lab").key
    assert post.watch(*sign_with(post, "company"))[0] == 0
    code, said, _ = post.mask()
    assert code == 3
    assert "expected the watch of a signed calibration to be signed by its key" in said.replace("\n", " ")
    trust = ("--trust", lab, "--trust", company, "--force")
    assert masked(post, *trust)[0] == 0
    vendor, small = SynchronousVendor(url=post.server.url), post.folder / "small.png"
    with pytest.raises(CheckFailedError, match="signed by its key"):
        mask(vendor, small, post.calibration, 0.9, run=post.folder / "run", max_cost=1)
    assert mask(vendor, small, post.calibration, 0.9, run=post.folder / "run", max_cost=1, trust=[lab, company])
    with pytest.raises(CheckFailedError, match="expected a signature by a key that you trust"):
        mask(vendor, small, post.calibration, 0.9, run=post.folder / "run", max_cost=1, trust=[company])


def test_an_alarm_is_accepted_with_the_key_alone(post):
    assert post.watch(*sign_with(post))[0] == 0
    post.server.script = {"submit": CHANGED}
    assert post.watch(*sign_with(post))[0] == 3
    assert post.watch("--accept", "looked at")[0] == 2
    assert post.mask()[0] == 3
    code, document, _ = post.watch("--accept", "looked at", *sign_with(post))
    assert (code, document["state"]) == (0, "accepted")
    code, said, pictures = post.mask()
    assert code == 0, said
    assert any("looked at" in note for note in pictures[0]["notes"])


def test_an_audit_marks_what_the_watch_found(post):
    assert post.watch(*sign_with(post))[0] == 0
    post.server.script = {"submit": CHANGED}
    assert post.watch(*sign_with(post))[0] == 3
    write_photographs(post.folder / "unseen", range(30, 32))
    command = ["audit", str(post.folder / "unseen"), "--calibration", post.calibration, *post.common, "--alpha", "0.9"]
    run([*command, "--json"])
    assert json.loads(post.capsys.readouterr().out)["watch"]["state"] == "suspended"
    vendor, unseen = SynchronousVendor(url=post.server.url), post.folder / "unseen"
    found = audit(vendor, unseen, Calibration.load(post.calibration), alpha=0.9, run=post.folder / "run", max_cost=1)
    assert any("is suspended since" in note for note in found.notes)


def test_from_python_a_visit_is_signed_too(post):
    vendor = SynchronousVendor(url=post.server.url)
    settings: dict[str, Any] = {"run": post.folder / "run", "max_cost": 1}
    with pytest.raises(UsageError, match="--sign-with"):
        watch(vendor, post.calibration, **settings)
    found = watch(vendor, post.calibration, sign_with=key_of(post, "lab"), **settings)
    assert (found.standing.vouched, found.standing.own) == (found.standing.head.entries, True)


def test_a_certificate_names_the_entry_that_it_read_and_a_rollback_shows(post):
    assert post.watch(*sign_with(post))[0] == 0
    older = post.file.read_bytes()
    assert post.watch(*sign_with(post))[0] == 0
    assert post.mask()[0] == 0
    code, said, certificate = masked(post)
    assert code == 0, said
    assert (certificate["watch"]["entries"], certificate["watch"]["state"]) == (3, "watched")
    written = (post.folder / "masked" / "small-certificate.json").read_bytes()
    papers = (
        str(post.folder / "masked" / "small-certificate.json"),
        post.calibration,
        "--calibration",
        post.calibration,
    )
    code, (of_certificate, of_calibration) = verified(post, *papers)
    assert (code, of_certificate["outcome"]) == (7, "undamaged")
    assert of_calibration["outcome"] == "signed by a stranger"
    assert of_certificate["watch"]["compared"]
    assert of_calibration["watch"]["head"]["entries"] == 4, "the picture was entered after its certificate"
    # The same result that is written again is the same file, though the watch went on.
    assert post.watch(*sign_with(post))[0] == 0
    assert masked(post)[0] == 0
    assert (post.folder / "masked" / "small-certificate.json").read_bytes() == written
    post.file.write_bytes(older)
    assert post.mask(41)[0] == 0, "an older whole file is a whole file"
    assert masked(post, "--force")[0] == 0
    (post.folder / "masked" / "small-certificate.json").write_bytes(written)
    code, (of_certificate, _) = verified(post, *papers)
    assert (code, of_certificate["verified"]) == (3, False)
    assert "an older file was put back" in of_certificate["reason"] or "was changed" in of_certificate["reason"]


def test_two_certificates_that_name_different_entries_contradict_each_other(post, tmp_path):
    assert post.watch(*sign_with(post))[0] == 0
    older = post.file.read_bytes()
    folders = []
    for seed in (50, 51):
        post.file.write_bytes(older)
        assert post.watch(*sign_with(post))[0] == 0
        assert post.mask(seed)[0] == 0
        folders.append((post.folder / "masked").rename(tmp_path / f"masked-{seed}"))
    code, rows = verified(post, *(str(folder / "small-certificate.json") for folder in folders))
    assert rows[0]["reason"] is None
    assert code == 3
    assert "one of the two watch files was put back or written anew" in rows[1]["reason"]


def test_a_stamp_of_a_calibration_or_certificate_makes_no_visit_older(post, monkeypatch):
    lab, company = (key_of(post, name).key for name in ("lab", "company"))
    assert post.watch(*sign_with(post))[0] == 0
    assert post.mask()[0] == 0
    assert post.watch(*sign_with(post, "company"))[0] == 0
    policy = post.folder / "policy.toml"
    policy.write_text(f'[[signer]]\nkey = "{lab}"\n[[signer]]\nkey = "{company}"\nuntil = 2021-01-01\n')
    stamped = "blackbox_conformal.documents.time_stamp.stamped_at"
    monkeypatch.setattr(stamped, lambda *_: datetime(2020, 1, 1, tzinfo=UTC))
    certificate = str(post.folder / "masked" / "small-certificate.json")
    for words in ([post.calibration], [certificate, "--calibration", post.calibration]):
        code, rows = verified(post, *words, "--trust", str(policy))
        assert (code, rows[0]["verified"]) == (3, False)
        assert "expected the watch of a signed calibration to be signed by its key" in rows[0]["reason"]


def test_signing_a_calibration_signs_the_watch_that_it_has(server, tmp_path, capsys):
    SigningKey.new("lab").save(tmp_path / "lab.pem")
    post = Post(tmp_path, server, capsys)
    post.calibrate(2, "--canaries", "1")
    code, _, said = post.watch()
    assert code == 0
    assert "not signed, so no key vouches for it" in said.replace("\n", " ")
    calibration = Calibration.load(post.calibration)
    calibration.signed(key_of(post, "lab")).save(post.calibration)
    assert post.mask()[0] == 3, "the calibration is signed, and its watch is not"
    assert run(["sign", post.calibration, "--sign-with", str(tmp_path / "lab.pem")]) == 0
    post.capsys.readouterr()
    assert post.mask()[0] == 0
