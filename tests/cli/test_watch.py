"""`watch` against a vendor on a socket: silent while nothing changes, and each kind of change told as what it is."""

import io
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support import forked
from support.command_line import COMMAND, VENDOR
from support.forked import Forked
from support.synthetic import write_photographs
from support.watch_post import CHANGED, Post, verdicts

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import SuspendedError
from blackbox_conformal.study.python.functions import mask
from blackbox_conformal.testing import fault_vendor
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.pictures import encode, upscale
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.watching.visit.canaries import CHANGES


@pytest.fixture
def post(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> Post:
    made = Post(tmp_path, server, capsys)
    made.calibrate(2)
    return made


def test_the_same_vendor_is_silent_for_twenty_visits_and_each_draw_is_paid_once(post):
    paid = post.paid
    document = post.first("--canaries", "3")
    # One request six times, and each canary anew.
    assert (document["calls"], post.paid - paid) == (6 + 3, 6 + 3)
    assert document["cached"] == 3 * 2
    assert len(document["canaries"]) == 3
    for number in range(2, 21):
        code, document, said = post.watch()
        assert (code, document["visit"], document["state"]) == (0, number, "watched"), said
        assert verdicts(document) == {
            "identity": "same",
            "pixels": "same",
            "canaries": "same",
            "harm": "not watched",
            "inputs": "not watched",
            "answers": "not watched",
        }
        assert document["calls"] == 4
    assert post.server.account.distinct < post.paid, "repeated requests are the same draws to the vendor"
    assert post.paid - paid == 9 + 19 * 4
    pixels = next(each["statement"] for each in document["findings"] if each["layer"] == "pixels")
    assert pixels.endswith("25 of 25 so far were equal: at least 88 % of requests are, with 95% confidence")


def test_another_model_name_suspends_the_calibration(post):
    post.first("--canaries", "2")
    assert isinstance(post.server.vendor, FaultVendor)
    post.server.vendor.model = "acme-v2"
    code, document, said = post.watch()
    assert (code, document["state"], verdicts(document)["identity"]) == (3, "suspended", "changed")
    assert "the model is acme-v2, and was fault-vendor-1" in said
    assert "CHANGED: the vendor is not what was calibrated" in said
    paid = post.paid
    code, document, said = post.watch()
    assert (code, document["made"], post.paid) == (3, False, paid), "after an alarm nothing is bought"


def test_pixels_of_a_vendor_that_repeats_itself_tell_a_silent_change_at_once(post):
    post.first("--canaries", "2")
    post.server.script = {"submit": CHANGED}
    code, document, said = post.watch()
    assert code == 3
    assert verdicts(document)["pixels"] == "changed"
    assert verdicts(document)["identity"] == "same"
    assert "one request was answered otherwise 5 times in a row; 5 repeated answers beside the reference" in said
    assert "of the pixels differ, by at most" in said
    assert document["calls"] == 1 + 4 + 2, "it was asked again before the vendor was called changed"


def test_one_answer_of_another_machine_is_asked_for_again_and_is_no_change(post):
    post.first("--canaries", "3")
    for _ in range(12):
        assert post.watch()[0] == 0
    asked = post.server.account.requests("submit")
    post.server.script = lambda situation: Fault.parse(CHANGED) if situation.number == asked else None
    code, document, said = post.watch("--concurrency", "1")
    assert (code, verdicts(document)["pixels"], document["state"]) == (0, "note", "watched"), said
    assert document["calls"] == 1 + 1 + 3
    assert "one answer is another machine's, as it did not come when it was asked for again" in said
    assert "of 20 so far were equal" in said
    assert verdicts(post.watch()[1])["pixels"] == "same"


@pytest.mark.slow
def test_a_vendor_without_seeds_is_told_by_its_canaries_within_eight_visits(tmp_path, server, capsys):
    post = Post(tmp_path, server, capsys, seedable=False)
    post.calibrate(8)
    document = post.first("--canaries", "8", "--level", "0.5")
    assert document["calls"] == 8, "the calibration's own draws differ"
    for _ in range(9):
        code, document, said = post.watch()
        assert (code, verdicts(document)["pixels"]) == (0, "not watched"), said
    server.script = {"submit": CHANGED}
    codes = []
    while 3 not in codes and len(codes) < 9:
        code, document, said = post.watch()
        codes.append(code)
    assert len(codes) <= 8, said
    assert verdicts(document) == {
        "identity": "same",
        "pixels": "not watched",
        "canaries": "changed",
        "harm": "not watched",
        "inputs": "not watched",
        "answers": "not watched",
    }
    assert "standard deviations" in said


def test_a_vendor_that_never_varies_needs_no_further_references(tmp_path, capsys):
    with FaultServer(ignores_seed=True) as server:
        post = Post(tmp_path, server, capsys, seedable=False)
        post.calibrate(1)
        document = post.first("--canaries", "3")
        assert document["calls"] == 6 + 3
        assert verdicts(document)["pixels"] == "same"
        assert verdicts(document)["canaries"] == "not watched"
        assert post.watch()[1]["calls"] == 3
        server.script = {"submit": CHANGED}
        code, document, _ = post.watch()
        assert (code, verdicts(document)["pixels"], document["calls"]) == (3, "changed", 3 + 4)


def test_a_vendor_with_many_other_answers_does_not_repeat_itself_and_its_canaries_bet(tmp_path, capsys):
    with FaultServer(ignores_seed=True) as server:
        post = Post(tmp_path, server, capsys, seedable=False)
        post.calibrate(1)
        post.first("--canaries", "2")
        asked = server.account.requests("submit")
        server.script = lambda situation: Fault.parse(CHANGED) if situation.number == asked else None
        code, document, said = post.watch("--concurrency", "1")
        assert (code, verdicts(document)["pixels"], verdicts(document)["canaries"]) == (0, "not watched", "same"), said
        assert "the vendor answers equal requests differently: 1 of 11 were others" in said.replace("\n", " ")


def test_whether_a_vendor_repeats_itself_is_measured_later_where_the_first_visit_could_not(post):
    asked = post.server.account.requests("submit")
    refused = Fault("status", {"code": 422})
    post.server.script = lambda situation: refused if situation.number < asked + 6 else None
    code, document, said = post.watch(str(post.folder / "photographs"), "--canaries", "2", "--concurrency", "1")
    assert (code, verdicts(document)["pixels"]) == (6, "cannot tell"), said
    code, document, said = post.watch()
    assert (code, verdicts(document)["pixels"], document["calls"]) == (0, "same", 6 + 2), said
    code, document, said = post.watch()
    assert (code, verdicts(document)["pixels"], document["calls"]) == (0, "same", 1 + 2), said


def test_mask_refuses_after_an_alarm_until_it_is_accepted_with_a_reason(post):
    assert post.mask()[0] == 0
    post.first("--canaries", "2")
    post.server.script = {"submit": CHANGED}
    assert post.watch()[0] == 3
    code, said, _ = post.mask()
    assert code == 3
    assert "this calibration is suspended since" in said
    assert f"blackbox-conformal watch --calibration {post.calibration} --accept REASON" in said
    vendor = SynchronousVendor(url=post.server.url)
    small = post.folder / "small.png"
    with pytest.raises(SuspendedError, match="is suspended since"):
        mask(vendor, small, post.calibration, 0.9, run=post.folder / "run", max_cost=1)
    assert post.watch("--accept", " ")[0] == 2
    code, document, _ = post.watch("--accept", "the new model was looked at")
    assert (code, document["state"]) == (0, "accepted")
    assert any(
        "the new model" in note
        for note in mask(vendor, small, post.calibration, 0.9, run=post.folder / "run", max_cost=1).certificate.notes
    )
    code, said, pictures = post.mask()
    assert code == 0, said
    assert any("the new model was looked at" in note for note in pictures[0]["notes"])
    # The vendor is watched as it is now, with references of its own.
    code, document, said = post.watch()
    assert (code, document["visit"], document["state"]) == (0, 1, "accepted"), said
    assert document["cached"] == 0
    post.server.script = None
    assert post.watch()[0] == 3
    with closing(sqlite3.connect(post.file)) as connection:
        states = [row[0] for row in connection.execute("SELECT state FROM state ORDER BY id")]
    assert states == ["suspended", "accepted", "suspended"]


def test_canaries_that_are_chosen_at_calibration_need_no_photographs_at_the_first_visit(tmp_path, server, capsys):
    post = Post(tmp_path, server, capsys)
    post.calibrate(2, "--canaries", "3")
    assert "note: 3 canaries are chosen; `watch` draws each of them once a visit" in post.said
    assert post.paid == 24, "choosing buys nothing"
    code, document, said = post.watch()
    assert (code, len(document["canaries"]), document["calls"]) == (0, 3, 6 + 3), said
    assert all(canary["sensitivity"] > 0 for canary in document["canaries"])
    values = [canary["sensitivity"] for canary in document["canaries"]]
    assert values == sorted(values, reverse=True)


def test_there_is_nothing_to_accept_before_an_alarm_and_audits_say_that_there_was_one(post):
    assert run(post.words("--accept", "why not")) == 2
    assert "there is none" in post.capsys.readouterr().err
    post.first("--canaries", "1")
    assert run(post.words("--accept", "why not")) == 2
    assert "nothing to accept" in post.capsys.readouterr().err.replace("\n", " ")
    post.first("--canaries", "1")
    post.server.script = {"submit": CHANGED}
    assert post.watch()[0] == 3
    write_photographs(post.folder / "unseen", range(30, 32))
    arguments = ["audit", str(post.folder / "unseen"), "--calibration", post.calibration, *post.common]
    assert run([*arguments, "--alpha", "0.9"]) in (0, 3)
    assert "note: this calibration is suspended since" in post.capsys.readouterr().err


def test_the_risk_itself_is_measured_on_fresh_photographs_each_used_once(post):
    write_photographs(post.folder / "fresh", range(30, 33))
    fresh = ["--fresh", str(post.folder / "fresh"), "--alpha", "0.9", "--fresh-each", "2"]
    assert verdicts(post.first("--canaries", "1", *fresh))["harm"] == "same"
    code, document, _ = post.watch(*fresh)
    assert (code, verdicts(document)["harm"]) == (0, "same")
    code, document, said = post.watch(*fresh)
    assert (code, verdicts(document)["harm"]) == (6, "cannot tell")
    assert "no fresh photograph is left" in said
    with closing(sqlite3.connect(post.file)) as connection:
        losses = connection.execute("SELECT truth, loss FROM photograph").fetchall()
    assert len({truth for truth, _ in losses}) == len(losses) == 3
    assert all(0 <= loss <= 1 for _, loss in losses)
    known = ["--fresh", str(post.folder / "photographs"), "--alpha", "0.9"]
    assert run(post.words(*known)) == 2
    assert "which calibration has not seen" in post.capsys.readouterr().err


def brightened(png: bytes, scale: int, seed: int) -> bytes:
    """The vendor's picture, far too bright: its draws vary as before, so that as much is trusted."""
    with PillowImage.open(io.BytesIO(upscale(png, scale, seed))) as opened:
        pixels = np.asarray(opened.convert("RGB")).astype(np.int16)
    return encode((pixels // 8 + 223).astype(np.uint8))


def test_a_risk_above_alpha_makes_the_calibration_void(tmp_path, server, capsys, monkeypatch):
    post = Post(tmp_path, server, capsys, seedable=False, photographs=30)
    post.calibrate(2)
    write_photographs(post.folder / "fresh", range(60, 84))
    fresh = ["--fresh", str(post.folder / "fresh"), "--alpha", "0.4"]
    assert verdicts(post.first("--canaries", "1", "--level", "0.9", *fresh))["harm"] == "same"
    monkeypatch.setattr(fault_vendor, "upscale", brightened)
    visits = 0
    while (found := post.watch(*fresh, "--fresh-each", "2"))[0] == 0 and visits < 11:
        visits += 1
    code, document, said = found
    assert visits > 1, "the photographs of one visit are one loss"
    assert (code, document["state"], verdicts(document)["harm"]) == (3, "void", "above"), said
    assert "VOID: the risk is above what the guarantee allows" in said
    assert "the risk is above alpha=0.4" in said
    code, said, _ = post.mask()
    assert code == 3
    assert "this calibration is void since" in said


@pytest.mark.slow
def test_a_vendor_that_breaks_the_promise_beside_alone_makes_the_calibration_void(
    tmp_path, server, capsys, monkeypatch
):
    post = Post(tmp_path, server, capsys, seedable=False, photographs=30)
    post.calibrate(2, "--guarantee", "marked:ceiling=9,largest_error=0.42")
    write_photographs(post.folder / "fresh", range(60, 84))
    fresh = ["--fresh", str(post.folder / "fresh"), "--alpha", "0.9"]
    first = post.first("--canaries", "1", "--level", "0.9", *fresh)
    assert verdicts(first)["harm"] == "same"
    monkeypatch.setattr(fault_vendor, "upscale", brightened)
    visits = 0
    while (found := post.watch(*fresh))[0] == 0 and visits < 22:
        visits += 1
    code, document, said = found
    assert (code, document["state"], verdicts(document)["harm"]) == (3, "void", "above"), said
    (harm,) = [each["statement"] for each in document["findings"] if each["layer"] == "harm"]
    assert harm.startswith("the largest error, promised beside: the risk is above alpha=0.42: mean loss")
    assert "the risk is above alpha=0.9" not in harm
    with closing(sqlite3.connect(post.file)) as connection:
        losses = connection.execute("SELECT p.loss, b.loss FROM photograph p JOIN beside b USING (visit, truth)")
        shares, errors = np.array(losses.fetchall()).T
    assert 0 < shares.mean() < 0.98, "of invented detail no more is clear than 0.9 and the luck of a calibration allow"
    assert errors[1:].mean() > 0.6


def test_answers_of_another_size_are_a_change_and_no_answers_are_no_opinion(post):
    post.first("--canaries", "2")
    post.server.script = {"submit": Fault("status", {"code": 422})}
    code, document, said = post.watch()
    assert (code, document["state"]) == (6, "watched"), said
    assert "COULD NOT TELL" in said
    post.server.script = {"submit": "picture:kind=wrong-size"}
    code, document, said = post.watch()
    assert (code, verdicts(document)["identity"]) == (3, "changed"), said
    assert "sizes are ×2, and were ×4" in said


def calls_of(document):
    return document["next_visit"]["calls"], document["later_visit"]["calls"]


def foretold(post, draws):
    """What `plan` says of visits before anything is calibrated."""
    vendor = bc.load_adapter(VENDOR, url=post.server.url, seedable=post.seedable)
    return bc.plan(vendor, 20, draws=draws).watching


def test_a_plan_says_what_a_month_costs_and_sends_and_writes_nothing(post):
    paid = post.paid
    photographs = str(post.folder / "photographs")
    code, document, said = post.watch("--plan", photographs)
    assert code == 0, said
    # Eight canaries: one request six times and eight new draws; later eight and a repeat.
    assert (document["next_visit"]["calls"], document["later_visit"]["calls"]) == (6 + 8, 9)
    assert document["month_usd"]["daily"] == pytest.approx([2.7, 2.7])
    assert "a month, daily" in said
    assert [row["median"] for row in document["visits_to_alarm"]] == [None, 9, 6, 6]
    assert document["planted_changes"] == [], "one reference draw has no spread"
    assert not post.file.exists()
    assert foretold(post, 2) == calls_of(document)
    assert post.first()["calls"] == document["next_visit"]["calls"] == post.paid - paid
    code, document, _ = post.watch("--plan")
    assert (code, document["next_visit"]["calls"]) == (0, 9)
    assert post.watch()[1]["calls"] == document["next_visit"]["calls"] == document["later_visit"]["calls"]


@pytest.mark.slow
def test_a_plan_says_when_small_changes_would_be_found_and_a_change_is_found_by_then(
    tmp_path, server, capsys, monkeypatch
):
    post = Post(tmp_path, server, capsys, seedable=False)
    post.calibrate(8)
    paid = post.paid
    code, document, said = post.watch("--plan", str(post.folder / "photographs"))
    assert (code, post.paid) == (0, paid), said
    assert foretold(post, 8) == calls_of(document)
    planned = {row["change"]: row for row in document["planted_changes"]}
    assert list(planned) == list(CHANGES)
    assert "planted in the canaries' stored draws" in said
    change = "gamma 1.02"
    assert abs(planned[change]["standard_deviations"]) > 2
    post.first("--level", "0.5")
    later = post.watch("--plan")[1]["planted_changes"]
    assert later == document["planted_changes"]
    bend = CHANGES[change]

    def changed(png: bytes, scale: int, seed: int) -> bytes:
        with PillowImage.open(io.BytesIO(upscale(png, scale, seed))) as opened:
            return encode(bend(np.asarray(opened.convert("RGB"))))

    for _ in range(9):
        assert post.watch()[0] == 0
    monkeypatch.setattr(fault_vendor, "upscale", changed)
    visits = 1
    while post.watch()[0] == 0 and visits < 12:
        visits += 1
    assert planned[change]["ninety"] == 6, "after 30 visits"
    assert visits <= 9, "one change in ten may take longer than is promised"


def test_a_page_shows_evidence_canaries_and_alarms_and_makes_no_visit(post):
    page = post.folder / "page.html"
    assert post.watch("--page-only", str(page))[0] == 2, "there is nothing to show"
    post.first("--canaries", "2")
    post.server.script = {"submit": CHANGED}
    assert post.watch()[0] == 3
    assert post.watch("--page-only", str(page))[0] == 0
    assert "The calibration is accepted." not in page.read_text(encoding="utf-8")
    assert post.watch("--accept", "<script>alert(1)</script>")[0] == 0
    paid = post.paid
    code, document, _ = post.watch("--page-only", str(page))
    assert (code, document["page"], post.paid) == (0, str(page.resolve()), paid)
    text = page.read_text(encoding="utf-8")
    assert "The calibration is accepted." in text
    assert "of the pixels differ, by at most" in text
    assert text.count("data:image/webp;base64,") == 4, "two canaries, before and now"
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert all(feature in text for feature in ("sharpness", "lightness", "detail"))
    assert "Canaries: evidence against an unchanged vendor" in text
    page.write_text(f"{text}mine", encoding="utf-8")
    assert post.watch("--page-only", str(page))[0] == 2, "only a page as it was written is made anew"


def test_a_page_is_written_beside_a_visit_and_ends_no_watch(post):
    page = post.folder / "page.html"
    document = post.first("--canaries", "2", "--page", str(page))
    assert (document["page"], page.is_file()) == (str(page.resolve()), True)
    paid, first = post.paid, page.read_text(encoding="utf-8")
    post.server.script = {"submit": CHANGED}
    code, document, _ = post.watch("--page", str(page))
    assert (code, document["state"], post.paid > paid) == (3, "suspended", True)
    assert page.read_text(encoding="utf-8") != first
    # One that would not be written costs no visit, and one that cannot be written hides no change.
    paid = post.paid
    foreign = post.folder / "foreign.html"
    foreign.write_text("mine", encoding="utf-8")
    assert post.watch("--page", str(foreign))[0] == 2
    assert post.paid == paid


@pytest.mark.parametrize("other", [("--plan",), ("--accept", "why")])
def test_a_page_is_not_silently_left_out(post, other):
    for option in ("--page", "--page-only"):
        assert post.watch(option, "page.html", *other)[0] == 2


def test_limits_hold_for_a_visit_and_for_all_together(post):
    photographs = str(post.folder / "photographs")
    common = [word for word in post.common if word != "--yes"]
    base = ["watch", photographs, "--calibration", post.calibration, *common, "--canaries", "2"]
    paid = post.paid
    assert run([*base, "--max-cost", "0.05"]) == 4
    assert run([*base, "--max-cost", "1", "--max-cost-in-all", "0.05"]) == 4
    assert post.paid == paid
    assert "that --max-cost-in-all allows" in post.capsys.readouterr().err.replace("\n", " ")
    assert run([*base, "--max-cost", "0.08", "--max-cost-in-all", "0.16"]) == 0
    # Four calls more may be needed where an answer is another one.
    assert run([*base[:1], *base[2:], "--max-cost", "0.03", "--max-cost-in-all", "0.16"]) == 0
    assert run([*base[:1], *base[2:], "--max-cost", "0.03", "--max-cost-in-all", "0.16"]) == 4
    assert post.paid == paid + 8 + 3


def test_the_first_visit_asks_for_photographs_and_later_ones_for_the_same_settings(post):
    assert run(post.words()) == 2
    assert not post.file.exists()
    assert "blackbox-conformal watch PHOTOGRAPHS --calibration" in post.capsys.readouterr().err.replace("\n", " ")
    post.first("--canaries", "2")
    assert run(post.words("--level", "0.2")) == 2
    assert run(post.words("--canaries", "5")) == 2
    assert "which the watch was begun with" in post.capsys.readouterr().err.replace("\n", " ")


def test_a_damaged_watch_file_lets_nothing_be_issued(post):
    post.file.write_bytes(b"no database at all, and long enough to be looked at" * 40)
    assert run(post.words()) == 2
    assert "expected the watch of a calibration" in post.capsys.readouterr().err.replace("\n", " ")
    code, said, _ = post.mask()
    assert code == 2
    assert "cannot be told" in said.replace("\n", " ")


def killed_visit(folder: Path, capsys: pytest.CaptureFixture[str], canaries: int, kills: int) -> None:
    """Kill the first visit so often, before or while a draw is bought; then let it end. Each draw is paid once."""
    random = np.random.default_rng(kills)
    with FaultServer(idempotent=True) as server:
        post = Post(folder, server, capsys, idempotent=True)
        post.calibrate(2)
        paid = post.paid
        server.script = {"submit": Fault("slow-start", {"seconds": 0.2})}
        words = [*COMMAND, *post.words("--concurrency", "1", str(folder / "photographs")), "--canaries", str(canaries)]
        for kill in range(kills):
            before, started = post.paid, time.monotonic()
            child = Forked(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # Every third one is killed before it may have bought anything.
            patience = random.uniform(0, 0.1) if kill % 3 == 2 else 60.0
            while child.poll() is None and post.paid == before and time.monotonic() - started < patience:
                time.sleep(0.01)
            assert child.poll() is None, "the visit ended before it was killed often enough"
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert post.paid > paid
        server.script = None
        assert forked.run(words).returncode == 0
        with closing(sqlite3.connect(post.file)) as connection:
            visits = connection.execute("SELECT count(*), count(ended_at) FROM visit").fetchall()
            (bought,) = connection.execute("SELECT count(*) FROM draw WHERE draw_index >= 4096").fetchone()
            fresh = connection.execute(
                "SELECT count(*), count(DISTINCT canary) FROM draw WHERE purpose = 'fresh'"
            ).fetchall()
            states = {row[0] for row in connection.execute("SELECT state FROM draw")}
        assert visits == [(1, 1)]
        assert states == {"stored"}
        assert fresh == [(canaries, canaries)]
        # One request six times, and each canary anew.
        assert post.paid - paid == bought == 6 + canaries


def test_a_killed_visit_is_gone_on_with_and_each_canary_is_paid_once(tmp_path, capsys):
    killed_visit(tmp_path, capsys, 2, 6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_visit_that_is_killed_at_nearly_every_draw_pays_each_canary_once(tmp_path, capsys):
    # Sixteen of these kills follow a purchase, and there are eighteen.
    killed_visit(tmp_path, capsys, 12, 24)
