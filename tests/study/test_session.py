"""A session for programs: threads and tasks share a run folder, a budget and a vendor, and nothing is paid twice."""

import asyncio
import io
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.forked import Forked
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.ledger.ledger_file import reading
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.errors import (
    BudgetError,
    CalibrationError,
    ImageError,
    IncompleteError,
    LedgerError,
    ModelChangedError,
    RefusedError,
    SuspendedError,
    UsageError,
)
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.study.mask import masking
from blackbox_conformal.study.stages import draws, masked_inputs
from blackbox_conformal.support.types import Image
from blackbox_conformal.testing.fault_server import FaultServer, chances
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

PRICE = Decimal("0.01")


@dataclass(frozen=True)
class Calibrated:  # One draw of each picture, and two
    one: bc.Calibration
    two: bc.Calibration


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    photographs = write_photographs(folder / "photographs", range(8))
    with FaultServer() as server:
        vendor = SynchronousVendor(url=server.url)
        settings = {"max_calls": 40, "metric": "rgb-linf"}
        one = bc.calibrate(vendor, photographs, run=folder / "one", draws=1, score="bicubic-gap", **settings)
        two = bc.calibrate(vendor, photographs, run=folder / "two", draws=2, score="pixel-variance", **settings)
    return Calibrated(one, two)


def picture(number: int) -> Image:
    """An input of (16, 20, 3) that no other number has."""
    return reduced(photograph(100 + number), 4)


def opened(calibration: Any, server: FaultServer, run: Path, **settings: Any) -> bc.Session:
    settings = {"max_cost": 5, "alpha": 0.9, "run": run, **settings}
    return bc.Session(calibration, SynchronousVendor(url=server.url), **settings)


def spent(run: Path) -> Decimal:
    return Decimal(ledger_sum(run)["cost_usd"])


def is_settled(run: Path) -> bool:
    """Whether nothing is held back, and every row fits the totals."""
    with reading(run) as connection:
        (reserved,) = connection.execute("SELECT reserved_nanousd FROM total").fetchone()
    return reserved == 0 and not ledger_verify(run).problems


def test_threads_share_a_run_folder_and_results_are_those_of_apply(calibrated, server, tmp_path, vendor):
    with opened(calibrated.two, server, tmp_path / "run") as session, ThreadPoolExecutor(4) as threads:
        results = list(threads.map(session.mask, [(f"p{number}", picture(number)) for number in range(4)]))
        assert session.spent_usd == 8 * PRICE
    assert [result.name for result in results] == [f"p{number}" for number in range(4)]
    for number, result in enumerate(results):
        alone = bc.mask(vendor, picture(number), calibrated.two, 0.9, run=tmp_path / "run", max_calls=2)
        np.testing.assert_array_equal(result.image, alone.image)
        np.testing.assert_array_equal(result.mask, alone.mask)
        np.testing.assert_array_equal(result.safe, alone.safe)
        assert result.vendor == alone.vendor is not None
        assert result.certificate.status == alone.certificate.status
    assert (server.account.paid, session.spent_usd) == (8, 8 * PRICE)


def test_many_threads_and_a_bad_vendor_spend_what_the_vendor_bills_and_never_more_than_the_limit(
    calibrated, server, tmp_path
):
    server.script = chances(
        7, {"submit": {"reset-after-body": 0.05, "status:code=429": 0.05, "status:code=504,billed=true": 0.05}}
    )
    requests, run = 3, tmp_path / "run"
    distinct, limit = 24 * requests, 16 * requests * PRICE
    became = Counter()

    def ask(thread):
        for number in range(requests):
            try:
                session.mask(picture((thread * requests + number) % distinct))
                became["result"] += 1
            except (BudgetError, IncompleteError) as error:
                became[type(error).__name__] += 1

    with opened(calibrated.one, server, run, max_cost=limit) as session:
        threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(became.values()) == 32 * requests
    assert became["result"] > 0
    assert became["BudgetError"] > 0
    assert spent(run) == PRICE * server.account.paid <= limit
    assert server.account.paid == server.account.distinct
    assert is_settled(run)


def test_the_same_picture_at_once_is_paid_once_and_later_answered_from_the_folder(calibrated, server, tmp_path):
    server.script = {"submit": "slow-start:seconds=0.3"}
    with opened(calibrated.two, server, tmp_path / "run") as session:
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(session.mask, [(f"name{number}", picture(0)) for number in range(8)]))
        assert server.account.paid == 2
        session.mask(picture(0))
        assert server.account.paid == 2
    assert {result.name for result in results} == {f"name{number}" for number in range(8)}
    assert len({result.mask.tobytes() for result in results}) == 1


def test_a_picture_that_the_budget_has_no_room_for_spends_nothing_and_those_under_way_are_finished(
    calibrated, server, tmp_path
):
    """Without admission, eight pictures of two draws would buy a first draw each, and nobody a second."""
    server.script = {"submit": "slow-start:seconds=0.1"}
    became = []

    def ask(number):
        try:
            session.mask(picture(number))
            became.append("result")
        except BudgetError as error:
            became.append(str(error))

    with opened(calibrated.two, server, tmp_path / "run", max_cost="0.09") as session:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(ask, range(8)))
        assert became.count("result") == 4
        assert all("the next 2 draws cost up to 0.02 USD" in one for one in became if one != "result")
        assert server.account.paid == 8
        session.mask(picture(next(number for number in range(8) if _is_stored(session, number))))
    assert server.account.paid == 8


def _is_stored(session: bc.Session, number: int) -> bool:
    try:
        session.mask(picture(number))
    except BudgetError:
        return False
    return True


def test_draws_at_once_are_those_of_all_pictures_together(calibrated, server, tmp_path):
    server.script = {"submit": "slow-start:seconds=0.25"}
    with opened(calibrated.two, server, tmp_path / "run", concurrency=3) as session, ThreadPoolExecutor(12) as threads:
        list(threads.map(session.mask, map(picture, range(12))))
    assert (server.account.summary()["most_at_once"]["submit"], server.account.paid) == (3, 24)


def test_calls_are_limited_as_money_is(calibrated, server, tmp_path):
    with opened(calibrated.two, server, tmp_path / "run", max_cost=None, max_calls=3) as session:
        session.mask(picture(0))
        with pytest.raises(BudgetError, match="2 calls of 3 allowed are made, and 2 more are needed"):
            session.mask(picture(1))
    assert server.account.paid == 2
    with pytest.raises(BudgetError, match="costs money: give max_cost"):
        opened(calibrated.two, server, tmp_path / "run", max_cost=None)


def test_a_new_session_has_a_budget_of_its_own(calibrated, server, tmp_path):
    for number in range(2):
        with opened(calibrated.one, server, tmp_path / "run", max_cost=PRICE) as session:
            session.mask(picture(number))
            with pytest.raises(BudgetError):
                session.mask(picture(10 + number))
    assert spent(tmp_path / "run") == 2 * PRICE


@pytest.mark.parametrize("kind", ["text", "path", "bytes", "open file", "array", "picture"])
def test_a_picture_may_come_in_any_usual_form(calibrated, server, tmp_path, kind):
    small = PillowImage.fromarray(picture(0))
    path = tmp_path / "small.png"
    small.save(path)
    given = {
        "text": str(path),
        "path": path,
        "bytes": path.read_bytes(),
        "open file": io.BytesIO(path.read_bytes()),
        "array": np.asarray(small),
        "picture": small,
    }[kind]
    with opened(calibrated.one, server, tmp_path / "run") as session:
        np.testing.assert_array_equal(session.mask(given).low_resolution, picture(0))


def test_a_loop_goes_on_while_many_tasks_wait(calibrated, server, tmp_path):
    """The vendor answers only once the loop has ticked, so that a loop that is blocked never ends."""
    ticked = threading.Event()

    def wait(situation):
        ticked.wait(60)

    server.script = wait

    async def heartbeat():
        for _ in range(20):
            await asyncio.sleep(0.005)
        ticked.set()

    async def serve():
        async with opened(calibrated.one, server, tmp_path / "run") as session:
            tasks = [asyncio.create_task(session.amask((f"p{number}", picture(number)))) for number in range(20)]
            await heartbeat()
            with pytest.raises(ImageError):
                await session.amask(b"no picture")
            return await asyncio.gather(*tasks)

    assert [result.name for result in asyncio.run(serve())] == [f"p{number}" for number in range(20)]
    assert ticked.is_set()
    assert server.account.paid == 20


def test_a_task_that_is_cancelled_takes_back_what_was_not_begun(calibrated, server, tmp_path):
    gate = threading.Event()
    server.script = lambda _: (gate.wait(60), None)[1]

    async def serve():
        async with opened(calibrated.one, server, tmp_path / "run", concurrency=1) as session:
            begun = asyncio.create_task(session.amask(picture(0)))
            while not server.account.requests("submit"):
                await asyncio.sleep(0.01)
            waiting = asyncio.create_task(session.amask(picture(1)))
            await asyncio.sleep(0.01)
            for task in (begun, waiting):
                task.cancel()
            errors = await asyncio.gather(begun, waiting, return_exceptions=True)
            assert all(isinstance(error, asyncio.CancelledError) for error in errors)
            gate.set()

    asyncio.run(serve())
    assert server.account.paid == 1
    with opened(calibrated.one, server, tmp_path / "run") as session:
        session.mask(picture(0))
    assert server.account.paid == 1


def test_many_pictures_come_as_they_are_done_and_a_bad_one_does_not_end_it(calibrated, server, tmp_path):
    """The first picture is answered once two others were taken."""
    folder, taken = tmp_path / "pictures", threading.Semaphore(0)
    folder.mkdir()
    for number in range(4):
        PillowImage.fromarray(picture(number)).save(folder / f"p{number}.png")
    (folder / "damaged.png").write_bytes((folder / "p0.png").read_bytes()[:60])
    PillowImage.fromarray(reduced(photograph(0), 4)).save(folder / "calibrated.png")
    first = (folder / "p0.png").read_bytes()

    def late(situation):
        if situation.number == 0:
            assert taken.acquire(timeout=60)
            assert taken.acquire(timeout=60)

    with opened(calibrated.one, server, tmp_path / "run", max_cost=None, max_calls=4) as session:
        server.script = late
        begun = session.mask_many([("p0", first), *(folder / f"p{number}.png" for number in range(1, 4))], ahead=4)
        names = []
        for result in begun:
            names.append(result.name)
            taken.release()
        assert sorted(names) == ["p0", "p1", "p2", "p3"]
        stream = session.mask_many(folder)
        assert sorted(result.name for result in stream) == ["p0", "p1", "p2", "p3"]
        failures = {name: type(error) for name, error in stream.failures}
        assert failures == {"damaged": ImageError, "calibrated": CalibrationError}

        async def again():
            return sorted([result.name async for result in session.mask_many(folder)])

        assert asyncio.run(again()) == ["p0", "p1", "p2", "p3"]
    assert server.account.paid == 4


def test_an_iterator_is_read_no_further_ahead_than_there_is_room(calibrated, server, tmp_path):
    given = 0

    def pictures():
        nonlocal given
        for number in range(12):
            given += 1
            yield f"p{number}", picture(number)

    with opened(calibrated.one, server, tmp_path / "run") as session:
        for taken, _ in enumerate(session.mask_many(pictures(), ahead=3)):
            assert given <= taken + 3
        assert taken == 11
        given = 0
        for _ in session.mask_many(pictures(), ahead=2):
            break
        assert given == 2
        with pytest.raises(UsageError, match="ahead to be at least 1"):
            session.mask_many(pictures(), ahead=0)


def test_no_more_pictures_are_evaluated_at_once_than_there_is_room_for(calibrated, server, tmp_path, monkeypatch):
    inside, most, lock = 0, 0, threading.Lock()
    mask = masking._Mask.__call__

    def counting(self, ready):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        try:
            return mask(self, ready)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr("blackbox_conformal.study.mask.masking._Mask.__call__", counting)
    monkeypatch.setattr("blackbox_conformal.study.stages.memory.evaluated_at_once", lambda: 1)
    with opened(calibrated.one, server, tmp_path / "run") as session:
        assert len(list(session.mask_many((f"p{number}", picture(number)) for number in range(12)))) == 12
    assert most == 1


def test_a_spent_budget_ends_a_stream_after_what_is_under_way(calibrated, server, tmp_path):
    results = []
    with opened(calibrated.one, server, tmp_path / "run", max_cost="0.05") as session:
        stream = session.mask_many(picture(number) for number in range(40))
        with pytest.raises(BudgetError):
            results.extend(stream)
    assert len(results) == server.account.paid == 5


def test_what_the_vendor_refuses_is_the_fault_of_that_picture(calibrated, server, tmp_path):
    server.script = {"submit": ["status:code=422"]}
    with opened(calibrated.one, server, tmp_path / "run", concurrency=1) as session:
        with pytest.raises(RefusedError):
            session.mask(picture(0))
        session.mask(picture(1))


def test_a_closed_account_is_asked_again_once_it_is_open(calibrated, server, tmp_path):
    server.script = {"submit": "status:code=402"}
    with opened(calibrated.one, server, tmp_path / "run") as session:
        for _ in range(2):
            with pytest.raises(bc.BlackboxConformalError, match="402"):
                session.mask(picture(0))
        server.script = None
        session.mask(picture(0))
    assert spent(tmp_path / "run") == PRICE
    assert is_settled(tmp_path / "run")


def test_two_sessions_on_one_folder_are_refused(calibrated, server, tmp_path):
    with opened(calibrated.one, server, tmp_path / "run") as session:
        with pytest.raises(LedgerError, match="in use by another call in this same process"):
            opened(calibrated.one, server, tmp_path / "run")
        with pytest.raises(LedgerError, match="in use by another call in this same process"):
            bc.mask(SynchronousVendor(url=server.url), picture(0), calibrated.one, 0.9, run=session.run, max_cost=1)
    opened(calibrated.one, server, tmp_path / "run").close()


def test_closing_finishes_what_was_asked_for_and_refuses_what_comes_after(calibrated, server, tmp_path):
    server.script = {"submit": "slow-start:seconds=0.2"}
    session = opened(calibrated.one, server, tmp_path / "run", concurrency=2)
    with ThreadPoolExecutor(6) as threads:
        waiting = [threads.submit(session.mask, picture(number)) for number in range(6)]
        while server.account.requests("submit") < 1:
            threading.Event().wait(0.01)
        while session._pool._work_queue.qsize() < 4:
            threading.Event().wait(0.01)
        session.close()
        session.close()
        assert all(future.result().mask.size for future in waiting)
    with pytest.raises(UsageError, match="the session is closed"):
        session.mask(picture(0))
    assert session.spent_usd == 6 * PRICE


def test_an_error_in_the_block_sends_nothing_more_and_keeps_what_is_under_way(calibrated, server, tmp_path):
    gate = threading.Event()
    server.script = lambda _: (gate.wait(60), None)[1]
    waiting = []

    def interrupted():
        with opened(calibrated.one, server, tmp_path / "run", concurrency=2) as session:
            waiting.extend(threads.submit(session.mask, picture(number)) for number in range(6))
            while not server.account.requests("submit") or session._pool._work_queue.qsize() < 4:
                threading.Event().wait(0.01)
            threading.Timer(0.3, gate.set).start()
            raise KeyboardInterrupt

    with ThreadPoolExecutor(6) as threads:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        errors = [future.exception() for future in waiting]
    assert all(error is None or isinstance(error, IncompleteError) for error in errors)
    assert any(isinstance(error, IncompleteError) for error in errors)
    assert spent(tmp_path / "run") == PRICE * server.account.paid
    assert 1 <= server.account.paid <= 2
    paid = server.account.paid
    with opened(calibrated.one, server, tmp_path / "run") as session:
        for number in range(6):
            session.mask(picture(number))
    assert server.account.paid == 6 >= paid
    assert is_settled(tmp_path / "run")


def test_a_second_interrupt_leaves_a_job_to_the_next_session(tmp_path, monkeypatch):
    photographs, settings = write_photographs(tmp_path / "photographs", range(8)), {"draws": 1, "metric": "rgb-linf"}
    with FaultServer(price_usd=str(PRICE)) as server, ThreadPoolExecutor(1) as threads:
        vendor = JobVendor(url=server.url, poll_seconds=0.01)
        calibration = bc.calibrate(
            vendor, photographs, run=tmp_path / "run", score="bicubic-gap", max_calls=40, **settings
        )
        assert isinstance(server.vendor, FaultVendor)
        server.vendor.polls, polled = 1_000_000, server.account.requests("poll")
        session = bc.Session(calibration, vendor, alpha=0.9, run=tmp_path / "run", max_cost=1)
        waiting = threads.submit(session.mask, picture(0))
        while server.account.requests("poll") == polled:
            threading.Event().wait(0.01)
        shutdown, interrupts = session._pool.shutdown, [KeyboardInterrupt()]

        def interrupted(**how):
            if interrupts:
                raise interrupts.pop()
            shutdown(**how)

        monkeypatch.setattr(session._pool, "shutdown", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.close()
        assert isinstance(waiting.exception(), IncompleteError)
        server.vendor.polls, paid = 1, server.account.paid
        with bc.Session(calibration, vendor, alpha=0.9, run=tmp_path / "run", max_cost=1) as session:
            session.mask(picture(0))
            assert session.spent_usd == 0
        assert server.account.paid == paid == 9


def test_another_model_than_the_calibrated_one_is_refused_and_nothing_else_is_broken(calibrated, server, tmp_path):
    with opened(calibrated.one, server, tmp_path / "run") as session:
        session.mask(picture(0))
        server.script = {"submit": "model:name=other"}
        with pytest.raises(ModelChangedError, match="'other'"):
            session.mask(picture(1))
        session.mask(picture(0))


def test_answers_that_are_unlike_the_calibrations_are_told_of_and_mark_what_follows(
    calibrated, server, tmp_path, monkeypatch
):
    monkeypatch.setattr(masked_inputs, "answers_test", lambda *_: (1e-4, "not like those"))
    told = []
    with opened(calibrated.one, server, tmp_path / "run", on_drift=told.append) as session:
        results = [session.mask(picture(number)) for number in range(6)]
    # The fourth has enough beside it to be compared.
    assert [result.certificate.status for result in results[:3]] == ["if-like-calibration"] * 3
    assert {result.certificate.status for result in results[3:]} == {"outside-calibration"}
    assert told
    assert all("not like those" in one for one in told)


@pytest.mark.parametrize("given", ["path", "loaded", "saved"])
def test_an_alarm_of_the_watch_is_noticed_by_a_session_that_is_open(calibrated, server, tmp_path, monkeypatch, given):
    made = replace(calibrated.one, file=None)
    file = made.save(tmp_path / "calibration.json")
    calibration = {"path": file, "loaded": bc.Calibration.load(file), "saved": made}[given]
    raised = False

    def refuse(path, watched, *_, **__):
        assert (path, watched.digest) == (file, made.digest)
        if raised:
            raise SuspendedError("suspended")

    monkeypatch.setattr("blackbox_conformal.watching.watching_hook.refuse_suspended", refuse)
    with opened(calibration, server, tmp_path / "run") as session:
        session.mask(picture(0))
        raised = True
        with pytest.raises(SuspendedError):
            session.mask(picture(0))


def test_a_keyword_that_is_misspelled_is_named(calibrated, server):
    with pytest.raises(UsageError, match="Session takes no parameter 'max_costs'; did you mean max_cost"):
        opened(calibrated.one, server, Path("run"), max_costs=3)


def test_the_example_of_the_page_answers_requests_at_once(calibrated, server, tmp_path, monkeypatch, vendor):
    monkeypatch.chdir(tmp_path)
    page = Path(bc.__file__).parent / "docs" / "programs.md"
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    file = calibrated.one.save(tmp_path / "calibration.json")
    uploads = [image_png(picture(number)) for number in range(4)]
    answers = asyncio.run(names["serve"](file, vendor, [*uploads, b"no picture"]))
    assert [status for status, _ in answers] == [200, 200, 200, 200, 422]
    for (_, body), upload in zip(answers, uploads, strict=False):
        expected = bc.mask(vendor, upload, file, 0.9, max_calls=1).safe
        np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(body))), expected)
    (tmp_path / "inputs").mkdir()
    for number, content in enumerate([*uploads, uploads[0][:60]]):
        (tmp_path / "inputs" / f"p{number}.png").write_bytes(content)
    with bc.Session(file, vendor, alpha=0.9, max_cost=1) as session:
        failures = names["mask_folder"](session, tmp_path / "inputs", tmp_path / "masked")
    assert failures.keys() == {"p4"}
    assert len(list((tmp_path / "masked").glob("*-certificate.json"))) == 4
    assert server.account.paid == 4


PROGRAM = """
import signal, sys, threading
import numpy as np, blackbox_conformal as bc
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
file, url, run, ending = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell in the background has its programs ignore it.
pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
session = bc.Session(file, SynchronousVendor(url=url), alpha=0.9, run=run, max_cost=1)
if ending == "forgotten":
    begun = session.mask_many([pixels, pixels[::-1]])
    next(iter(begun))
else:
    with session:
        session.mask(pixels)
"""


@pytest.mark.parametrize("ending", ["forgotten", "interrupted"])
def test_a_program_that_ends_anyhow_keeps_what_it_paid(calibrated, server, tmp_path, ending):
    file, run, gate = calibrated.one.save(tmp_path / "calibration.json"), tmp_path / "run", threading.Event()
    server.script = lambda _: (gate.wait(60) if ending == "interrupted" else None, None)[1]
    # What is forgotten ends with its interpreter, of which a process that was forked takes nothing apart.
    kind = Forked if ending == "interrupted" else subprocess.Popen
    program = kind([sys.executable, "-c", PROGRAM, file, server.url, run, ending], stderr=subprocess.PIPE, text=True)
    if ending == "interrupted":
        while not server.account.requests("submit"):
            assert program.poll() is None
            threading.Event().wait(0.05)
        program.send_signal(signal.SIGINT)
        threading.Timer(0.5, gate.set).start()
    _, said = program.communicate(timeout=120)
    assert ("KeyboardInterrupt" in said) == (ending == "interrupted")
    assert spent(run) == PRICE * server.account.paid
    assert is_settled(run)
    paid = server.account.paid
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    with opened(file, server, run) as session:
        session.mask(pixels)
    assert server.account.paid == paid >= 1


def test_a_second_vendor_shares_folder_and_budget(server, tmp_path):
    first, second = SynchronousVendor(url=server.url), JobVendor(url=server.url, poll_seconds=0.01)
    photographs = write_photographs(tmp_path / "photographs", range(8))
    both = {"second_adapter": second, "run": tmp_path / "run"}
    score = "second-opinion:sigma=2"
    calibration = bc.calibrate(first, photographs, draws=1, score=score, metric="rgb-linf", max_calls=40, **both)
    paid = server.account.paid
    with opened(calibration, server, tmp_path / "run", second_adapter=second, max_cost="0.09") as session:
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(session.mask, [(f"p{number}", picture(number)) for number in range(4)]))
        with pytest.raises(BudgetError, match=r"the next 2 draws cost up to 0\.02 USD"):
            session.mask(picture(4))
        assert session.spent_usd == 8 * PRICE
    assert server.account.paid == paid + 8
    alone = bc.mask(first, picture(2), calibration, 0.9, max_calls=2, **both)
    np.testing.assert_array_equal(alone.mask, results[2].mask)
    assert server.account.paid == paid + 8


def test_an_answer_is_decoded_once_where_it_has_just_arrived(calibrated, tmp_path, monkeypatch, server):
    decoded = []
    read = draws.read_output

    def counted(content, *given, **named):
        decoded.append(len(content))
        return read(content, *given, **named)

    monkeypatch.setattr(draws, "read_output", counted)
    found = []
    # The second time from the run folder, where nothing has arrived.
    for times in (3, 6):
        with opened(calibrated.one, server, tmp_path / "run") as session:
            found.append([session.mask(picture(number)) for number in range(3)])
        assert len(decoded) == times
    for one, again in zip(*found, strict=True):
        assert np.array_equal(one.image, again.image)
        assert np.array_equal(one.score_map, again.score_map)
        assert np.array_equal(one.mask, again.mask)
