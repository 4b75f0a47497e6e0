"""`audit --claim`: a true and a false claim about a paid vendor, no more bought than decides it."""

import json

import pytest
from support.restoring_vendor import RESTORING
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import UsageError
from blackbox_conformal.testing.fault_server import FaultServer


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder of 40 photographs and a vendor that enlarges plainly, so that it invents next to nothing."""
    folder = tmp_path_factory.mktemp("claim")
    write_photographs(folder / "photographs", range(40))
    with FaultServer() as server:
        yield folder, server


def claim(scene, text, *more):
    folder, server = scene
    vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "-p", "scale=4", "--run", str(folder / "run")]
    return run(["audit", str(folder / "photographs"), *vendor, "--yes", "--claim", text, *more])


def test_a_false_claim_is_contradicted_and_a_true_one_supported_with_the_fewest_calls(scene, capsys):
    server = scene[1]
    assert claim(scene, "restored:at_least=0.9", "--json") == 3
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert (found["verdict"], found["claim"]["figure"]) == ("contradicted", "restored")
    assert found["n"] == found["calls"] == server.account.paid < found["given"] == 40
    assert "It takes at least" in out.err
    assert "claim is contradicted by" in out.err
    paid = server.account.paid
    assert claim(scene, "restored:at_least=0.9", "--json") == 3
    assert json.loads(capsys.readouterr().out)["cached"] == paid
    assert server.account.paid == paid, "the same photographs first, and nothing is paid twice"
    assert claim(scene, "erased:at_most=0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "supported"


def test_what_a_claim_is_not_about_is_refused_before_anything_is_sent(scene, capsys):
    before = scene[1].account.paid
    for more in (["--score", "texture"], ["--metric", "rgb-l1"], ["--alpha", "0.1"], ["--guarantee", "expected"]):
        assert claim(scene, "invented:at_most=0.2", *more) == 2
        assert "not about masks" in capsys.readouterr().err
    assert scene[1].account.paid == before


def test_from_python(scene):
    folder, server = scene
    vendor = bc.load_adapter(RESTORING, url=server.url, scale=4)
    found = bc.audit_claim(vendor, folder / "photographs", "restored:at_least=0.9", max_cost=1, run=folder / "python")
    assert repr(found) == f"<ClaimAudit of {found.looked} photographs: contradicted>"
    with pytest.raises(UsageError, match="leave metric out"):
        bc.audit_claim(vendor, folder / "photographs", "restored:at_least=0.9", metric="rgb-l1", max_cost=1)
