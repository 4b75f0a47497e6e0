"""Faults of the statistics, X1 to X7, as far as the sampler could commit them."""

from support.draws import draw, tasks

from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


def test_x01_failed_draws_are_handed_over_and_never_dropped(tmp_path, vendor, server):
    plan = {"submit": [None, "status:code=422", None, "close-without-answer", Fault("picture", {"kind": "truncated"})]}
    server.script = plan
    drawn = draw(vendor, tmp_path / "run", tasks(6), concurrency=1)
    assert sorted(drawn.states) == ["ambiguous", "invalid", "refused", "stored", "stored", "stored"]
    assert len({outcome.task.upload.digest for outcome in drawn.outcomes}) == 6


def test_x02_a_draw_is_bought_again_only_by_rule_and_every_purchase_is_counted(tmp_path):
    wrong = Fault("picture", {"kind": "wrong-size"})
    for most, paid, state in ((0, 1, "invalid"), (1, 2, "invalid"), (2, 3, "stored")):
        run = tmp_path / f"run-{most}"
        with FaultServer({"submit": [wrong, wrong]}) as server:
            drawn = draw(SynchronousVendor(url=server.url), run, tasks(), max_resample=most, concurrency=1)
        assert (drawn.states, server.account.paid) == ([state], paid)
        assert len({bill.draw for bill in server.account.bills}) == 1


def test_x03_an_interrupted_run_gives_each_picture_all_its_draws(tmp_path, either, server):
    work = tasks(3, 4)
    server.script = {"submit": [None] * 5 + ["status:code=402"]}
    assert draw(either, tmp_path / "run", work, concurrency=1).error is not None
    drawn = draw(either, tmp_path / "run", work)
    assert drawn.states == ["stored"] * 12
    seeds = [bill.draw for bill in server.account.bills]
    assert len(seeds) == len(set(seeds)) == 12


def test_x04_seeds_of_a_resumed_run_are_those_of_the_first(tmp_path, vendor, server):
    first = draw(vendor, tmp_path / "run", tasks(2, 3))
    again = draw(vendor, tmp_path / "run", tasks(2, 3))
    elsewhere = draw(vendor, tmp_path / "other", tasks(2, 3))
    assert first.pictures == again.pictures == elsewhere.pictures
    assert server.account.paid == 12


def test_x05_concurrency_does_not_change_the_pictures(tmp_path, vendor):
    one = draw(vendor, tmp_path / "one", tasks(2, 6), concurrency=1)
    many = draw(vendor, tmp_path / "many", tasks(2, 6), concurrency=12)
    assert (one.pictures, len(one.pictures)) == (many.pictures, 12)


def test_x06_equal_pictures_under_two_names_are_one_picture(tmp_path, vendor, server):
    from dataclasses import replace

    (task,) = tasks()
    twin = replace(task, upload=replace(task.upload, name="copy"))
    draw(vendor, tmp_path / "run", [task])
    drawn = draw(vendor, tmp_path / "run", [twin])
    assert ([outcome.cached for outcome in drawn.outcomes], server.account.paid) == ([True], 1)


def test_x07_outcomes_do_not_depend_on_what_was_drawn_before(tmp_path, vendor):
    draw(vendor, tmp_path / "run", tasks(1, 8))
    grown = draw(vendor, tmp_path / "run", tasks(3, 8))
    fresh = draw(vendor, tmp_path / "fresh", tasks(3, 8))
    assert grown.pictures == fresh.pictures
    assert not isinstance(grown.error, IncompleteError)
