"""What is known before a call: a missing key, and draws that lie in another run folder."""

from dataclasses import replace

import pytest
from support.command_line import VENDOR
from support.synthetic import write_photographs

from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.spending.estimate import missing_key, stored_elsewhere
from blackbox_conformal.drawing.spending.spent import spending_on
from blackbox_conformal.drawing.task import task_keys
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run folder with two draws of three photographs, the set-up, and the photographs."""
    root = tmp_path_factory.mktemp("runs")
    paths = write_photographs(root / "photographs", range(3))
    with FaultServer() as server:
        setup = set_up(load_adapter(VENDOR, url=server.url), **CHOICES)
        calibrate_job(Job.of_photographs(setup, paths, Terms(root / "first", Limits(max_calls=6))))
    return root, setup, paths


def tasks_of(setup, paths):
    return [task for picture in prepare_photographs(paths, setup) for task in picture.tasks]


def test_draws_beside_are_found_and_counted(drawn):
    root, setup, paths = drawn
    more = set_up(setup.adapter, **{**CHOICES, "draws": 3})
    found = stored_elsewhere(setup.adapter, tasks_of(more, paths), root / "second")
    assert (found.folder, found.count) == (root / "first", 6)
    assert stored_elsewhere(setup.adapter, tasks_of(setup, paths[:1]), root / "second").count == 2


def test_what_is_no_help_is_not_told(drawn):
    root, setup, paths = drawn
    tasks = tasks_of(setup, paths)
    assert stored_elsewhere(setup.adapter, tasks, root / "first") is None
    assert stored_elsewhere(setup.adapter.model_copy(update={"scale": 2}), tasks, root / "second") is None
    assert stored_elsewhere(setup.adapter, [replace(task, index=9) for task in tasks], root / "second") is None
    assert stored_elsewhere(setup.adapter, tasks, root / "nowhere" / "second") is None


def test_a_damaged_ledger_beside_is_left_out(drawn):
    root, setup, paths = drawn
    (root / "damaged").mkdir()
    (root / "damaged" / "ledger.sqlite").write_bytes(b"no ledger")
    assert stored_elsewhere(setup.adapter, tasks_of(setup, paths), root / "second").count == 6


def test_spending_on_some_draws_leaves_the_others_out(drawn):
    root, setup, paths = drawn
    tasks = tasks_of(setup, paths)
    keys = task_keys(setup.adapter.identity(), tasks)
    found = spending_on(root / "first", keys[:4])
    assert (found.calls, found.stored, found.failed, str(found.spent_usd)) == (4, 4, 0, "0.04")
    assert found.latency.count == 4
    none = spending_on(root / "first", ["sha256:other"])
    assert (none.calls, none.stored, none.spent_usd, none.latency) == (0, 0, 0, None)
    assert spending_on(root / "nowhere", keys).calls == 0


def test_a_job_cannot_draw_before_someone_agreed(drawn):
    root, setup, paths = drawn
    asked = []

    def no(job, expected):
        asked.append((job.folder, expected.calls))
        raise BudgetError("not agreed to")

    for ask, why in ((no, "not agreed to"), (None, "give max_cost")):
        job = Job.of_photographs(setup, paths, Terms(root / "unasked", ask=ask), to_draw=False)
        with pytest.raises(BudgetError, match=why), job.run(lambda ready: None):
            pass
        with pytest.raises(BudgetError, match=why), job.only(job.pictures[:1]).drawing():
            pass
    assert asked == [(root / "unasked", 6), (root / "unasked", 2)]
    with pytest.raises(BudgetError, match="give max_cost"):
        Job.of_photographs(setup, [root / "read-later.png"], Terms(root / "unasked"))
    assert not (root / "unasked").exists()


def test_what_parts_took_is_counted_in_the_whole(drawn):
    root, setup, paths = drawn
    whole = Job.of_photographs(setup, paths, Terms(root / "first", Limits(max_calls=6)))
    whole.confirm()
    for picture in whole.pictures:
        part = whole.only([picture])
        with part.run(lambda ready: None) as done:
            assert len(list(done)) == 1
        assert (part.calls, part.cached, part.cost_usd) == (0, 2, 0)
    assert (whole.calls, whole.cached, whole.cost_usd) == (0, 6, 0)


def test_a_key_is_missed_only_where_one_is_needed(drawn, monkeypatch):
    _, setup, paths = drawn
    (task, *_) = tasks_of(setup, paths)
    keyed = load_adapter(VENDOR, url="http://127.0.0.1:9", keyed=True)
    monkeypatch.delenv("FAULT_VENDOR_KEY", raising=False)
    assert "FAULT_VENDOR_KEY" in str(missing_key(keyed, task))
    assert missing_key(setup.adapter, task) is None
    assert missing_key(load_adapter("embedded"), task) is None
    monkeypatch.setenv("FAULT_VENDOR_KEY", "canary-3f2a")
    assert missing_key(keyed, task) is None


@pytest.mark.parametrize("name", ["stability", "replicate", "topaz", "fal", "bedrock", "clipdrop"])
def test_real_vendors_adapters_say_which_key(drawn, monkeypatch, name):
    _, setup, paths = drawn
    (task, *_) = tasks_of(setup, paths)
    parameters = {"replicate": {"model": "owner/name"}, "fal": {"model": "fal-ai/clarity-upscaler"}}.get(name, {})
    adapter = load_adapter(name, **parameters)
    for variable in (adapter.auth_variable, "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(f"{variable}_FILE", raising=False)
    said = str(missing_key(adapter, task))
    assert adapter.auth_variable in said or "AWS_ACCESS_KEY_ID" in said
