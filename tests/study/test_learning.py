"""`learn_score`: the score learned fitted to one's own photographs, from Python."""

import doctest
import inspect
import json
from pathlib import Path

import pytest
from support.command_line import VENDOR
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import BudgetError, UsageError


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("blackbox_conformal.method.scores._learned_training.STEPS", 5)
    write_photographs(Path("photographs"), range(20))
    write_photographs(Path("unseen"), range(20, 26))


def test_its_example_runs_and_its_photographs_never_calibrate(server):
    vendor = bc.load_adapter(VENDOR, url=server.url)
    names = {"bc": bc, "vendor": vendor}
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(bc.learn_score) or "", names, "", None, None)
    for one in example.examples:
        one.want = one.want.replace("…", "...")
    said = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not said, "".join(said)
    assert server.account.paid == 6
    learning = bc.learn_score(vendor, "photographs", run="learned")
    with pytest.raises(UsageError, match="all of these were"):
        bc.calibrate(vendor, "photographs", run="learned", score=learning.score, max_cost=1)
    assert server.account.paid == 6


def test_it_is_what_the_command_does(capsys, server):
    words = ["tune", "--learn", "photographs", "--adapter", VENDOR, "-p", f"url={server.url}", "--json"]
    assert run([*words, "--run", "typed"]) == 0
    told = json.loads(capsys.readouterr().out)
    learning = bc.learn_score(bc.load_adapter(VENDOR, url=server.url), "photographs", run="called")
    assert learning.learned.after == told["share_after"]
    assert (learning.teaching, learning.measuring) == (told["n_teaching"], told["n_measuring"])
    assert learning.weights.read_bytes() == Path(told["weights"]).read_bytes()
    records = [json.loads((Path(folder) / "tuning.json").read_bytes()) for folder in ("typed", "called")]
    assert records[0]["photographs"] == records[1]["photographs"]


def test_another_score_is_refused():
    vendor = bc.load_adapter("folder", path="photographs", label="any", scale=4)
    with pytest.raises(UsageError, match="expected a score with weights to learn"):
        bc.learn_score(vendor, "photographs", score="texture")
    with pytest.raises(UsageError, match="learn_score takes no parameter 'output'; did you mean outputs"):
        bc.learn_score(vendor, "photographs", output="outputs")


def test_the_vendor_itself_is_paid_for_the_answers_that_teach_predicted_invention_and_only_once(server):
    vendor = bc.load_adapter(VENDOR, url=server.url)
    with pytest.raises(BudgetError, match="max_cost"):
        bc.learn_score(vendor, "photographs", score="predicted-invention", run="run")
    assert server.account.paid == 0
    told = {"score": "predicted-invention:light=true", "run": "run", "max_cost": 1}
    learning = bc.learn_score(vendor, "photographs", **told)
    assert (learning.calls, server.account.paid) == (20, 20)
    again = bc.learn_score(vendor, "photographs", **told)
    assert (again.calls, server.account.paid) == (0, 20)
    assert again.learned.after == learning.learned.after
