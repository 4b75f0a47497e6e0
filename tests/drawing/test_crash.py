"""Killed at every step: nothing paid is lost, and only what the ledger calls ambiguous may be paid twice."""

import pytest
from support.draws import killed, limits, tasks
from support.postgres_server import end_leases

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

KINDS = {"once": SynchronousVendor, "jobs": JobVendor}
# Kind, point, so-manieth call, submissions seen by the vendor at the kill, ambiguous draws afterwards.
KILLS = [
    ("once", "planned", 1, 0, 0),
    ("once", "intent", 3, 2, 0),
    ("once", "sent", 3, 2, 1),
    ("once", "departed", 3, 2, 1),
    ("once", "answered", 3, 3, 1),
    ("once", "received", 3, 3, 0),
    ("once", "settled", 2, 2, 0),
    ("once", "stored", 3, 3, 0),
    ("once", "receipt", 3, 3, 0),
    ("jobs", "intent", 3, 2, 0),
    ("jobs", "sent", 3, 2, 1),
    ("jobs", "departed", 3, 2, 1),
    ("jobs", "answered", 7, 3, 1),
    ("jobs", "accepted", 3, 3, 0),
    ("jobs", "answered", 8, 3, 0),
    ("jobs", "ready", 3, 3, 0),
    ("jobs", "received", 3, 3, 0),
    ("jobs", "settled", 2, 2, 0),
    ("jobs", "stored", 3, 3, 0),
    ("jobs", "receipt", 3, 3, 0),
]


@pytest.mark.parametrize(("kind", "point", "number", "submitted", "ambiguous"), KILLS)
def test_kill(tmp_path, monkeypatch, database, kind, point, number, submitted, ambiguous):
    run = tmp_path / "run"
    if database == "postgres":
        monkeypatch.setenv("LEDGER_OF_THE_CRASH", str(LEDGERS.of(run)))
    with FaultServer(polls=0) as server:
        killed(server.url, run, kind, point, number)
        if database == "postgres":
            # A process that is killed is taken for dead when its lease is over.
            end_leases(str(LEDGERS.of(run)))
        assert server.account.requests("submit") == submitted
        with Sampler(KINDS[kind](url=server.url), run, limits(), check=lambda data, task: None) as sampler:
            outcomes = list(sampler.draw(tasks(1, 4)))
            states = [one.state for one in outcomes]
            assert (states.count("ambiguous"), states.count("stored")) == (ambiguous, 4 - ambiguous)
            assert all(sampler.read(one) for one in outcomes if one.state == "stored")
        # The kill may have come between the ledger's "sent" and the first byte: then nothing was bought.
        bought = 4 - (ambiguous if point in ("sent", "departed") else 0)
        assert server.account.requests("submit") == bought
    sums = ledger_sum(run)
    assert (sums["stored"], sums["ambiguous"], sums["reserved_usd"]) == (4 - ambiguous, ambiguous, 0)
    assert (ledger_verify(run).problems, list((run / "inbox").iterdir())) == ((), [])
