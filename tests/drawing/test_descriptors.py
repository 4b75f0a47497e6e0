"""Files that may be open, and room on the disk: looked after before anything is paid for, and waited for afterwards."""

import errno
import resource
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from support.descriptors import descriptors
from support.draws import draw, limits, tasks

from blackbox_conformal.cli import main
from blackbox_conformal.drawing import attempt
from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.sample_store import Arrival, Store
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.descriptors import raise_descriptor_limit
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


def test_more_draws_at_once_than_descriptors_are_refused_before_anything_is_sent(tmp_path, either, server):
    with descriptors(256), pytest.raises(UsageError, match=r"Add --concurrency 48 \(concurrency=48 in Python\)"):
        draw(either, tmp_path, tasks(1, 2), concurrency=256)
    assert server.account.recorded == []
    with descriptors(256):
        assert draw(either, tmp_path, tasks(1, 2), concurrency=48).states == ["stored"] * 2


def test_an_automatic_number_of_draws_keeps_within_the_descriptors():
    capabilities = SynchronousVendor(url="http://localhost").capabilities
    with descriptors(104):
        assert Limits().for_vendor(capabilities).most_workers == 10
        assert Limits().for_vendor(capabilities).first_workers == 4
    assert Limits().for_vendor(capabilities).most_workers == 32


def test_the_command_line_takes_as_many_descriptors_as_it_may(monkeypatch):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    seen: list[int] = []
    monkeypatch.setattr(main, "run", lambda arguments: seen.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    with descriptors(256):
        with pytest.raises(SystemExit):
            main.main([])
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most
    assert seen == [most]


def test_an_answer_is_kept_though_no_descriptor_is_left_when_it_comes(tmp_path, monkeypatch, vendor):
    receive = Store.receive

    def without(*given: Any, **named: Any) -> Arrival:
        with descriptors(0):
            return receive(*given, **named)

    monkeypatch.setattr(Store, "receive", without)
    # Nothing is read meanwhile: a file opened here would find no descriptor either.
    with Sampler(vendor, tmp_path, limits(concurrency=1)) as sampler:
        assert [outcome.state for outcome in sampler.draw(tasks(2, 2))] == ["stored"] * 4
    assert ledger_verify(tmp_path).problems == ()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_nothing_is_sent_where_an_answer_has_no_place(tmp_path, monkeypatch, number, vendor, server):
    monkeypatch.setattr(Store, "reserve", Mock(side_effect=OSError(number, "refused")))
    drawn = draw(vendor, tmp_path, tasks(2))
    assert (server.account.recorded, drawn.ended) == ([], "IncompleteError")
    assert ("ulimit -n" in str(drawn.error), "make room" in str(drawn.error)) == (number == 24, number == 28)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal(0)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("what", ["receive", "keep_receipt"])
def test_the_only_copy_of_an_answer_is_held_until_it_can_be_written(
    tmp_path, monkeypatch, number, what, vendor, server
):
    write, left = getattr(Store, what), [8]
    told: list[Event] = []

    def later(*given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(number, "refused")
        return write(*given, **named)

    monkeypatch.setattr(Store, what, later)
    monkeypatch.setattr(attempt, "_WRITE_AGAIN_S", 0.01, raising=False)
    drawn = draw(vendor, tmp_path, tasks(), listener=told.append)
    assert (drawn.states, drawn.ended) == (["stored"], "IncompleteError")
    assert [event.kind for event in told].count("unwritten") == 1
    again = draw(vendor, tmp_path, tasks())
    assert (again.states, again.error, server.account.paid) == (["stored"], None, 1)
    assert (ledger_verify(tmp_path).problems, list((tmp_path / "inbox").iterdir())) == ((), [])


def test_places_are_given_up_with_the_draw(tmp_path, vendor, server):
    server.script = {"submit": ["close-without-answer", "status:code=422", "picture:kind=html", None]}
    drawn = draw(vendor, tmp_path, tasks(1, 4), concurrency=1)
    assert sorted(drawn.states) == ["ambiguous", "invalid", "refused", "stored"]
    assert (list((tmp_path / "inbox").iterdir()), len(ledger_ls(tmp_path))) == ([], 4)
