"""`ledger reopen`: refusals that said nothing about the picture are asked for again, and nothing is paid twice."""

import json

import pytest
from support.command_line import VENDOR, ended
from support.draws import draw, tasks
from support.postgres_server import PostgresServer
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.errors import RefusedError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Draw, Flow, Send, Upload


class Censor(SynchronousVendor):
    """Bills for what it made and then does not show."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        if b"filtered" in answer.body:
            raise RefusedError("filtered", billed=True, code="filter")
        return answer.body


def test_a_calibration_asks_again_for_refused_draws_alone_and_says_so(tmp_path, capsys):
    photographs = [str(path) for path in write_photographs(tmp_path / "photographs", range(6))]
    folder, out = tmp_path / "run", tmp_path / "run" / "calibration.json"
    with FaultServer({"submit": ["status:code=400"] * 3}) as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--metric", "rgb-linf", "--concurrency", "1"]
        calibrate = ["calibrate", *photographs, *vendor, "--run", str(folder), "--yes", "--json"]
        first = json.loads(ended(capsys, [*calibrate, "--accept-refusals"]).out)
        assert (first["failed"], first["reopened"], server.account.paid) == (3, 0, 3)
        assert b"reopened" not in out.read_bytes()
        assert run(["ledger", "reopen", "--run", str(folder)]) == 2
        assert run(["ledger", "reopen", "--run", str(folder), "--code", "422"]) == 2
        assert "Codes of those there: 400" in capsys.readouterr().err
        assert run(["ledger", "reopen", "--run", str(folder), "--state", "refused", "--code", "400"]) == 0
        assert "3 refusals reopened" in capsys.readouterr().out
        said = ended(capsys, [*calibrate, "--out", str(tmp_path / "again.json")])
        again = json.loads(said.out)
        assert (again["failed"], again["reopened"], again["calls"], server.account.paid) == (0, 3, 3, 6)
        assert "3 refusals had been reopened, and the calibration says so" in said.err
        assert json.loads(ended(capsys, [*calibrate, "--out", str(tmp_path / "again.json")]).out)["calls"] == 0
    assert sum(image.reopened for image in Calibration.load(tmp_path / "again.json").images) == 3
    assert ledger_verify(folder).problems == ()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_billed_for_a_refusal_stays_booked(tmp_path, capsys, request, kind):
    folder = tmp_path / "run"
    if kind == "postgres":
        database: PostgresServer = request.getfixturevalue("postgres")
        LEDGERS.place(folder, database.new_database())
    with FaultServer({"submit": ["json-error:message=filtered"] * 3}) as server:
        vendor = Censor(url=server.url)
        assert draw(vendor, folder, tasks(3), concurrency=1).states == ["refused"] * 3
        assert str(ledger_sum(folder)["cost_usd"]) == "0.03"
        reopen = ["ledger", "reopen", "--run", str(folder), "--picture", "picture-1"]
        assert "$0.01 that the vendor billed for them stay booked" in ended(capsys, reopen).out
        assert run(reopen) == 2
        drawn = draw(vendor, folder, tasks(3), concurrency=1)
        assert drawn.states == ["refused", "stored", "refused"]
        assert [outcome.reopened for outcome in drawn.outcomes].count(1) == 1
    assert [one.state for one in ledger_ls(folder)] == ["refused"] * 3 + ["validated"]
    assert str(ledger_sum(folder)["cost_usd"]) == "0.04"
    assert ledger_verify(folder).problems == ()
