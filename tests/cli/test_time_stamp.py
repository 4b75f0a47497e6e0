"""Time stamps of papers, by a service on this machine that answers with `openssl ts`."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.synthetic import write_draws, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents import time_stamp
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.claim import ClaimAnswers, ClaimManifest, NamedAnswer, NamedInput
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.trust_policy import TrustPolicy
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.study.audit.auditing import read_answers

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
CONFIGURATION = """
[req]
distinguished_name = none
[none]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[stamps]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = here
[here]
serial = serial
signer_cert = stamps.pem
signer_key = stamps.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""
TODAY = datetime.now(UTC).date()


class Later(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(days=400)


class Authority:
    """A time stamp authority whose certificate is ``root.pem`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "openssl.cnf").write_text(CONFIGURATION)
        (folder / "serial").write_text("01\n")
        new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf"
        self._openssl(f"req -x509 {new} -keyout root.key -out root.pem -subj /CN=Authority -extensions root")
        self._openssl(f"req {new} -keyout stamps.key -out stamps.csr -subj /CN=Stamps")
        signed = "-CA root.pem -CAkey root.key -set_serial 2 -extfile openssl.cnf -extensions stamps"
        self._openssl(f"x509 -req -in stamps.csr -out stamps.pem {signed}")

    def _openssl(self, command: str) -> None:
        subprocess.run(["openssl", *command.split()], cwd=self.folder, check=True, capture_output=True)

    def answer(self, query: bytes) -> bytes:
        (self.folder / "query").write_bytes(query)
        self._openssl("ts -reply -config openssl.cnf -queryfile query -out reply")
        return (self.folder / "reply").read_bytes()

    def stamp(self, paper: Path) -> None:
        """Stamp a file as other programs do."""
        self._openssl(f"ts -query -data {paper} -sha256 -cert -out query")
        time_stamp.stamp_file(paper).write_bytes(self.answer((self.folder / "query").read_bytes()))


@contextmanager
def service(answer: Any) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a service that gives `answer` of each query, and the queries that it got."""
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(asked[-1])
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder / "one"), Authority(folder / "other")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibration that nobody signed, and a key."""
    folder = tmp_path_factory.mktemp("made")
    SigningKey.new("Laboratory X").save(folder / "lab.pem")
    write_draws(folder / "draws", [*range(8), 20])
    write_photographs(folder / "photographs", range(8))
    vendor = ["--adapter", "folder", "-p", f"path={folder / 'draws'}", "-p", "label=made up"]
    choices = ["--draws", "4", "--score", "pixel-variance", "--metric", "rgb-linf", "--run", str(folder / "run")]
    assert run(["calibrate", str(folder / "photographs"), *vendor, *choices, "--out", str(folder / "c.json")]) == 0
    return folder


@pytest.fixture
def paper(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "c.json", tmp_path / "c.json"))


def signed(made: Path, paper: Path, *more: str) -> int:
    return run(["sign", str(paper), "--sign-with", str(made / "lab.pem"), *more])


def policy(made: Path, authority: Authority, folder: Path, more: str = "") -> str:
    """A policy that trusts the key and the authority, whose certificate lies beside it."""
    shutil.copy(authority.folder / "root.pem", folder / "authority.pem")
    key = SigningKey.load(made / "lab.pem").key
    file = folder / "policy.toml"
    file.write_text(f'authorities = ["authority.pem"]\n[[signer]]\nkey = "{key}"\n{more}\n')
    return str(file)


def verified(capsys: pytest.CaptureFixture[str], paper: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = run(["verify", str(paper), "--json", *more])
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    return code, row, err


def test_a_service_stamps_a_signed_paper_and_verify_tells_when(made, authorities, paper, tmp_path, capsys):
    one, _ = authorities
    before = datetime.now(UTC).replace(microsecond=0)
    with service(lambda query: (200, one.answer(query))) as (address, asked):
        assert signed(made, paper, "--timestamp", address) == 0
        first = time_stamp.stamp_file(paper).read_bytes()
        assert signed(made, paper, "--timestamp", address) == 0, "an older stamp stays"
        assert (len(asked), time_stamp.stamp_file(paper).read_bytes()) == (1, first)
        code, row, said = verified(capsys, paper, "--trust", policy(made, one, tmp_path))
        assert (code, row["verified"]) == (0, True)
        assert before <= datetime.fromisoformat(row["stamped"]) <= datetime.now(UTC)
        assert f"stamped on {row['stamped'][:10]} at" in said
        # The file is one of many that other programs read.
        check = f"openssl ts -verify -data {paper} -in {paper}.tsr -CAfile {one.folder / 'root.pem'}"
        assert subprocess.run(check.split(), capture_output=True).returncode == 0
        code, row, said = verified(capsys, paper, "--trust", SigningKey.load(made / "lab.pem").key)
        assert (code, row["verified"], row["stamped"]) == (0, True, None)
        assert 'is not checked: add --trust policy.toml with authorities = ["authority.pem"]' in said


def test_a_key_that_ended_counts_for_what_was_stamped_before_and_a_revoked_one_for_nothing(
    made, authorities, paper, tmp_path, capsys, monkeypatch
):
    one, _ = authorities
    assert signed(made, paper) == 0
    yesterday = TODAY - timedelta(days=1)
    ended = policy(made, one, tmp_path, f"until = {TODAY}")

    monkeypatch.setattr("blackbox_conformal.documents.trust_policy.datetime", Later)
    code, _, said = verified(capsys, paper, "--trust", ended)
    assert code == 3
    assert "nothing shows that the signature is as old" in said
    one.stamp(paper)
    assert verified(capsys, paper, "--trust", ended)[0] == 0
    assert Calibration.load(paper).vouching(TrustPolicy.load(ended)).trusted, "mask, audit and serve judge alike"
    code, _, said = verified(capsys, paper, "--trust", policy(made, one, tmp_path, f"until = {yesterday}"))
    assert code == 3
    assert f"until {yesterday}, and its time stamp is of {TODAY}" in said
    for day in (yesterday, TODAY + timedelta(days=1)):
        code, _, said = verified(capsys, paper, "--trust", policy(made, one, tmp_path, f"revoked = {day}"))
        assert code == 3
        assert "no time stamp helps a key that others may have" in said


def test_answers_to_a_claim_are_judged_at_the_time_of_their_stamp(made, authorities, tmp_path, monkeypatch):
    one, _ = authorities
    digest = "sha256:" + "0" * 64
    manifest = ClaimManifest("invented:at_most=0.02", 4, "bicubic", 0, (NamedInput("a", digest, digest),))
    answers = ClaimAnswers(manifest.digest, (NamedAnswer(digest, digest),)).signed(SigningKey.load(made / "lab.pem"))
    file = tmp_path / "claim-answers.json"
    file.write_text(answers.to_json())
    ended = policy(made, one, tmp_path, f"until = {TODAY}")
    monkeypatch.setattr("blackbox_conformal.documents.trust_policy.datetime", Later)
    with pytest.raises(CheckFailedError, match="nothing shows that the signature is as old"):
        read_answers(file, manifest, TrustPolicy.load(ended))
    one.stamp(file)
    assert read_answers(file, manifest, TrustPolicy.load(ended)) == answers
    file.write_text(answers.to_json() + " ")
    with pytest.raises(CheckFailedError, match="it is of another paper, or the paper was changed after it"):
        read_answers(file, manifest, TrustPolicy.load(ended))


def test_a_stamp_that_does_not_fit_is_refused(made, authorities, paper, tmp_path, capsys):
    one, other = authorities
    assert signed(made, paper) == 0
    trust = policy(made, one, tmp_path)
    content, stamp = paper.read_bytes(), time_stamp.stamp_file(paper)
    one.stamp(paper)
    good = stamp.read_bytes()

    def refused(says: str) -> None:
        code, row, said = verified(capsys, paper, "--trust", trust)
        assert (code, row["verified"]) == (3, False)
        assert says in said
        with pytest.raises(CheckFailedError, match="expected a time stamp of this paper"):
            Calibration.load(paper).vouching(TrustPolicy.load(trust))

    strange = tmp_path / "other.json"
    strange.write_bytes(content + b" ")
    one.stamp(strange)
    stamp.write_bytes(time_stamp.stamp_file(strange).read_bytes())
    refused("it is of another paper, or the paper was changed after it")
    stamp.write_bytes(good)
    paper.write_bytes(content + b"\n")
    refused("it is of another paper, or the paper was changed after it")
    paper.write_bytes(content)
    other.stamp(paper)
    refused("no authority that your policy names made it")
    for broken in (b"", good[:-1], good[: len(good) // 2], b"{}", b"\0" * 1000):
        stamp.write_bytes(broken)
        refused("it cannot be read, or was cut off")
    stamp.write_bytes(good + b"\0" * time_stamp.LARGEST)
    refused(f"more than {time_stamp.LARGEST} bytes")
    # The last byte is of the authority's signature.
    stamp.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    refused("or it was changed")
    stamp.write_bytes(good)
    assert verified(capsys, paper, "--trust", trust)[0] == 0


def test_an_answer_that_is_no_stamp_for_the_request_is_not_kept(made, authorities, paper, capsys):
    one, _ = authorities
    assert signed(made, paper) == 0
    one.stamp(paper)
    old = time_stamp.stamp_file(paper).read_bytes()
    time_stamp.stamp_file(paper).unlink()
    answers = {
        (500, b""): (6, "is signed, and has no time stamp: HTTP 500"),
        (302, b""): (6, "is signed, and has no time stamp: HTTP 302"),
        (200, b"\0" * (time_stamp.LARGEST + 1)): (6, f"an answer of more than {time_stamp.LARGEST} bytes"),
        (200, old[:300]): (2, "it cannot be read, or was cut off"),
        (200, old): (3, "the service stamped another"),  # Without the number of this request.
        (200, bytes.fromhex("30053003020102")): (3, "the service refused: status 2"),
    }
    for answer, (expected, says) in answers.items():
        with service(lambda query, answer=answer: answer) as (address, asked):
            capsys.readouterr()
            assert signed(made, paper, "--timestamp", address) == expected
        assert says in capsys.readouterr().err
        assert len(asked) == 1
        assert not time_stamp.stamp_file(paper).exists()
    assert signed(made, paper, "--timestamp", "file:///etc/passwd") == 2


def test_a_policy_names_certificates_of_authorities(made, authorities, tmp_path):
    one, _ = authorities
    trust = policy(made, one, tmp_path)
    loaded = TrustPolicy.read([trust])
    assert loaded.authorities == ((one.folder / "root.pem").read_text(),)
    for content, says in (
        (b"", "certificate"),
        ((one.folder / "root.key").read_bytes(), "private key"),
        (None, "read"),
    ):
        if content is None:
            (tmp_path / "authority.pem").unlink()
        else:
            (tmp_path / "authority.pem").write_bytes(content)
        with pytest.raises(ValueError, match=says):
            TrustPolicy.load(trust)
