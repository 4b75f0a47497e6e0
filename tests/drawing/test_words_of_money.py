"""Refusals in words that may be of money: what one picture meets, and what every picture meets."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.draws import draw, tasks

from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_verify
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

QUOTA = "image quota: at most 25 megapixels"


@contextmanager
def refusing(words: str, refuses: Callable[[bytes, int], bool], slow_s: float = 0.0) -> Iterator[FaultServer]:
    """A vendor that refuses with HTTP 422 in these words; `refuses` is told the picture and the submission's number."""
    with FaultServer() as server:
        regular, count = server.vendor.respond, iter(range(10**6))

        def respond(head: Any, body: bytes, *further: Any) -> Response:
            if head.path == "/v1/upscale" and refuses(body, next(count)):
                return Response(422, {"Content-Type": "application/json"}, f'{{"detail":"{words}"}}'.encode())
            time.sleep(slow_s)
            return regular(head, body, *further)

        server.vendor.respond = respond  # type: ignore[method-assign]
        yield server


@pytest.mark.parametrize("words", [QUOTA, "billing document detected", "white balance is too low"])
@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_words_that_one_picture_meets_are_about_that_picture(tmp_path, words, place, concurrency):
    work = tasks(12, 2)
    with refusing(words, lambda png, _: png == work[2 * place].upload.png) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path, work, concurrency=concurrency)
        assert drawn.error is None
        assert sorted(drawn.states) == ["refused"] * 2 + ["stored"] * 22
        assert {one.task.upload.name for one in drawn.outcomes if one.state == "refused"} == {f"picture-{place}"}
        assert server.account.paid == 22
        again = draw(SynchronousVendor(url=server.url), tmp_path, work)
    assert (again.error, sorted(again.states)) == (None, ["refused"] * 2 + ["stored"] * 22)
    assert not ledger_verify(tmp_path).problems


def test_the_last_picture_is_judged_by_none_and_only_the_user_says_what_is_meant(tmp_path):
    work = tasks(4, 2)
    with refusing(QUOTA, lambda png, _: png == work[-1].upload.png) as server:
        adapter = SynchronousVendor(url=server.url)
        drawn = draw(adapter, tmp_path, work, concurrency=1)
        assert drawn.ended == "AccountRefusedError"
        assert "--accept-refusals counts them as refused" in str(drawn.error)
        assert drawn.states == ["stored"] * 6
        drawn = draw(adapter, tmp_path, work, concurrency=1, accept_refusals=True)
        assert (drawn.error, drawn.states) == (None, ["stored"] * 6 + ["refused"] * 2)


@pytest.mark.parametrize(
    "words", ["insufficient points", "Free plan limit reached. Please upgrade", "\u4f59\u989d\u4e0d\u8db3"]
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_money_that_runs_out_stops_the_run_and_counts_as_no_pictures_refusal(tmp_path, words, concurrency):
    work, empty = tasks(12, 2), True
    with refusing(words, lambda _, number: empty and number >= 7, slow_s=0.05) as server:
        adapter = SynchronousVendor(url=server.url)
        drawn = draw(adapter, tmp_path, work, concurrency=concurrency)
        assert (drawn.ended, set(drawn.states)) == ("AccountRefusedError", {"stored"})
        assert not [row for row in ledger_ls(tmp_path) if row.state == "refused"]
        assert server.account.requests("submit") <= 7 + 2 * concurrency + 1
        empty = False
        assert draw(adapter, tmp_path, work, concurrency=concurrency).states == ["stored"] * 24
        assert server.account.paid == 24


def test_an_answer_to_what_was_sent_before_shows_nothing(tmp_path):
    work = tasks(4, 1)
    with refusing("insufficient points", lambda _, number: number >= 3, slow_s=0.5) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path, work, concurrency=4)
        assert (drawn.ended, drawn.states) == ("AccountRefusedError", ["stored"] * 3)


def test_words_that_are_surely_of_money_stop_the_run_even_where_refusals_are_accepted(tmp_path):
    with refusing("insufficient credits", lambda *_: True) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path, tasks(3), concurrency=1, accept_refusals=True)
        assert (drawn.ended, server.account.requests("submit")) == ("AccountRefusedError", 1)


def test_the_stop_of_three_names_a_command_that_works_as_it_stands(tmp_path):
    run = tmp_path / "a run"
    with refusing("no such style", lambda *_: True) as server:
        drawn = draw(SynchronousVendor(url=server.url), run, tasks(4), concurrency=1)
    assert drawn.ended == "IncompleteError"
    assert f"`blackbox-conformal ledger reopen --code 422 --run '{run}'` has the same command ask" in str(drawn.error)
    assert "rarely" not in str(drawn.error)
