"""`adapters check --live`: two draws of one small picture, compared with what the adapter says of its vendor."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR, ended

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.live_check import check_picture

SHOWN, FORMAT, VARIETY, PRICE, MODEL = (
    "the picture that was sent comes back, at the promised size",
    "the format is as declared",
    "draws of one picture differ",
    "it costs what is declared",
    "the model is named",
)

Checked = tuple[int, dict[str, tuple[bool, str]], str]
Check = Callable[..., Checked]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    monkeypatch.chdir(tmp_path)

    def checked(
        server: FaultServer, *more: str, consent: str = "--yes"
    ) -> tuple[int, dict[str, tuple[bool, str]], str]:
        command = ["adapters", "check", VENDOR, "-p", f"url={server.url}", "--live", "--json"]
        code = run([*command, *([consent] if consent else []), *more])
        said = capsys.readouterr()
        found = json.loads(said.out) if said.out.strip() else []
        return code, {one["check"]: (one["passed"], one["detail"]) for one in found if "check" in one}, said.err

    return checked


def test_a_vendor_that_is_what_its_adapter_says_passes(check, tmp_path):
    with FaultServer() as server:
        code, found, said = check(server)
        assert code == 0, said
        assert server.account.paid == 2
    assert list(found) == [SHOWN, FORMAT, VARIETY, PRICE, MODEL]
    assert all(passed for passed, _ in found.values())
    assert found[SHOWN][1].startswith("2 of 512×512; edges correlate with the input's at 0.9")
    assert found[PRICE][1] == "booked at $0.01 a draw; declared $0.01"
    assert found[MODEL][1] == "fault-vendor-1"
    assert "5 of 5 checks passed" in said
    assert (tmp_path / "runs" / "check-fault-synchronous" / "ledger.sqlite").is_file()


def test_what_was_drawn_is_not_paid_again(check):
    with FaultServer() as server:
        assert check(server)[0] == 0
        code, found, said = check(server, consent="")
        assert (code, server.account.paid) == (0, 2), said
        assert "2 of them drawn before" in found[SHOWN][1]
        assert "nothing is bought" in said
        assert check(server, "--run", "again")[0] == 0
        assert server.account.paid == 4


def test_nothing_is_sent_without_consent(check):
    with FaultServer() as server:
        code, _, said = check(server, consent="")
        assert (code, server.account.recorded) == (4, [])
    assert "2 calls to make" in said
    assert "add --max-cost 0.02, or --yes" in said


def test_a_vendor_that_takes_no_notice_of_the_seed(check):
    with FaultServer(ignores_seed=True) as server:
        code, found, said = check(server)
    assert code == 3
    assert not found[VARIETY][0]
    assert "--perturbation dihedral" in found[VARIETY][1]
    assert "is not what its vendor does: draws of one picture differ" in said


@pytest.mark.parametrize(("kind", "told"), [("foreign", "Look at the picture"), ("wrong-size", "256×256")])
def test_a_picture_of_something_else_or_of_another_size(check, kind, told):
    with FaultServer({"submit": f"picture:kind={kind}"}) as server:
        code, found, _ = check(server)
    assert code == 3
    assert list(found) == [SHOWN]
    assert told in found[SHOWN][1]


def test_a_jpeg_where_none_is_declared(check):
    with FaultServer({"submit": "picture:kind=jpeg"}) as server:
        code, found, said = check(server)
    assert code == 3, said
    assert not found[FORMAT][0]
    assert "a lossy JPEG came" in found[FORMAT][1]


def test_a_vendor_that_takes_more_than_it_says(check):
    with FaultServer(reported_price="0.05") as server:
        code, found, _ = check(server)
    assert code == 3
    assert found[PRICE] == (False, "booked at $0.05 a draw; the adapter declares $0.01. Give -p price-usd=…")


def test_two_models(check):
    with FaultServer({"submit": [None, "model:name=fault-vendor-2"]}) as server:
        code, found, said = check(server, "--concurrency", "1")
    assert (code, found) == (3, {})
    assert "draws came from 'fault-vendor-1' and from 'fault-vendor-2'" in said


def test_a_key_that_is_refused(check):
    with FaultServer({"submit": "status:code=401"}) as server:
        code, found, said = check(server)
    assert (code, found) == (5, {})
    assert "refused this key" in said


def test_ones_own_picture_and_scale(check, tmp_path):
    Image.fromarray(check_picture(40)[:, :30]).save(tmp_path / "own.png")
    with FaultServer() as server:
        code, found, said = check(server, "--image", "own.png", "--scale", "2")
    assert code == 0, said
    assert found[SHOWN][1].startswith("2 of 60×80; ")


def test_options_of_the_live_check_are_refused_without_it(capsys):
    assert "together with --live" in ended(capsys, ["adapters", "check", "stability", "--scale", "4"], 2).err


def test_the_picture_has_structure_everywhere_it_is_asked_for():
    for side in (16, 64, 128, 512):
        picture = check_picture(side)
        assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
        assert picture.std() > 30
