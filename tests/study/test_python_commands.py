"""Every command is a function: its example runs, a budget that is too small spends nothing, slips are told by name."""

import doctest
import inspect
import pydoc
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.study.from_keywords import limits_of
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.study.unseen_photographs import TUNING_FILE, TuningRecord
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

COMMANDS = ("calibrate", "mask", "mask_all", "audit", "compare", "tune", "plan", "report", "watch")
CHOICES = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working folder with photographs, unseen ones and an input, all made up."""
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs", range(10))
    write_photographs(tmp_path / "unseen", range(10, 14))
    PillowImage.fromarray(reduced(photograph(20), 4)).save(tmp_path / "input.png")
    return tmp_path


@pytest.fixture
def calibration(desk, vendor):
    calibration = bc.calibrate(vendor, "photographs", run="run", max_cost=1, **CHOICES)
    calibration.save("calibration.json")
    return calibration


@pytest.mark.parametrize("name", [*COMMANDS, "Session"])
def test_the_example_of_every_command_runs(name, vendor, calibration):
    function = getattr(bc, name)
    names = {"bc": bc, "vendor": vendor, "calibration": calibration}
    names["result"] = bc.mask(vendor, "input.png", calibration, alpha=0.9, max_cost=1)
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(function) or "", names, name, None, None)
    assert example.examples, f"{name} has no example"
    said = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for one in example.examples:
        one.want = one.want.replace("…", "...")
    doctest.DocTestRunner(optionflags=flags).run(example, out=said.append)
    assert not said, "".join(said)


def calls(vendor: bc.Adapter, calibration: bc.Calibration) -> dict[str, Any]:
    """Each command that draws, with a budget that is a cent short."""
    short = {"run": "other", **CHOICES}
    both = {"one": vendor, "other": (vendor, {"score": "patch-variance"})}
    return {
        "calibrate": lambda: bc.calibrate(vendor, "photographs", max_cost="0.19", **short),
        "mask": lambda: bc.mask(vendor, "input.png", calibration, 0.9, run="other", max_cost="0.01"),
        "mask_all": lambda: bc.mask_all(vendor, ["input.png"], calibration, 0.9, run="other", max_calls=1),
        "audit": lambda: bc.audit(vendor, "unseen", calibration, 0.9, run="other", max_cost="0.07"),
        "watch": lambda: bc.watch(vendor, "calibration.json", "photographs", run="other", max_cost="0.07"),
        "compare": lambda: bc.compare(both, "photographs", 0.9, max_calls=19, **short),
        "tune": lambda: bc.tune(vendor, "photographs", 0.9, candidates=["pixel-variance"], max_cost="0.19", **short),
    }


@pytest.mark.parametrize("name", ["calibrate", "mask", "mask_all", "audit", "compare", "tune", "watch"])
def test_a_budget_that_is_too_small_spends_nothing(name, server, vendor, calibration):
    paid = server.account.paid
    with pytest.raises(BudgetError, match="nothing was sent"):
        calls(vendor, calibration)[name]()
    assert server.account.paid == paid


@pytest.mark.parametrize("name", ["calibrate", "mask", "audit", "compare", "tune", "watch"])
def test_money_is_not_spent_without_a_budget(name, server, vendor, calibration, monkeypatch):
    paid = server.account.paid
    for command in COMMANDS:
        original = getattr(bc, command)

        def without(*given, original=original, **named):
            return original(*given, **{key: value for key, value in named.items() if not key.startswith("max_")})

        monkeypatch.setattr(bc, command, without)
    with pytest.raises(BudgetError, match=r"costs money: give max_cost"):
        calls(vendor, calibration)[name]()
    assert server.account.paid == paid


@pytest.mark.parametrize("name", ["calibrate", "mask", "mask_all", "audit", "compare", "tune", "plan", "watch"])
def test_every_command_names_what_is_near_a_misspelled_keyword(name, tmp_path):
    with pytest.raises(UsageError, match=rf"{name} takes no parameter 'max_costs'; did you mean max_cost"):
        getattr(bc, name)(max_costs=3)
    assert {"run", "max_cost", "max_calls", "memory", "progress"} <= inspect.signature(
        getattr(bc, name)
    ).parameters.keys()


def test_a_setting_of_one_contestant_is_checked_too(vendor, desk):
    with pytest.raises(UsageError, match="compare takes no parameter 'scores'; did you mean score"):
        bc.compare({"one": vendor, "other": (vendor, {"scores": "texture"})}, "photographs", max_cost=1)
    with pytest.raises(UsageError, match="expected vendors by name"):
        bc.compare([vendor], "photographs", max_cost=1)


def test_the_plan_of_a_number_agrees_with_that_of_photographs(vendor, server, desk):
    number = bc.plan(vendor, 10, alpha=0.07, **CHOICES)
    photographs = bc.plan(vendor, "photographs", alpha=0.07, **CHOICES)
    for field in (
        "n",
        "draws",
        "calls",
        "cached",
        "cost_usd",
        "again",
        "reachable_alpha",
        "needed_n",
        "usd_a_photograph",
    ):
        assert getattr(number, field) == getattr(photographs, field), field
    assert (number.calls, number.memory_bytes, number.disk_bytes) == (20, None, None)
    assert "20 calls to make, 0 draws stored, price $0.20" in repr(number)
    assert server.account.paid == 0
    with pytest.raises(UsageError, match="at least 1; got 0"):
        bc.plan(vendor, 0, **CHOICES)
    with pytest.raises(UsageError, match="expected photographs beside quote=True"):
        bc.plan(vendor, 10, quote=True, **CHOICES)


def test_tune_calibrates_on_what_it_never_looked_at(vendor, server, desk):
    given = {"draws": 2, "metric": "rgb-linf", "candidates": ["pixel-variance", "texture"], "run": "run"}
    tuning = bc.tune(vendor, "photographs", 0.9, max_cost="0.20", **given)
    assert (len(tuning.tuning), tuning.calibration.n, tuning.calls) == (3, 7, server.account.paid)
    assert not {one.truth for one in tuning.tuning} & {image.truth for image in tuning.calibration.images}
    assert set(tuning.calibration.tuning) == set(tuning.tuning)
    chosen = bc.tune(vendor, "photographs", 0.9, only_choose=True, max_cost="0.20", **given)
    assert chosen.calibration is None
    record = TuningRecord.load(Path("run") / TUNING_FILE)
    assert set(record.photographs) == set(chosen.tuning)
    with pytest.raises(bc.errors.CalibrationError, match="were used for tuning"):
        bc.calibrate(vendor, "photographs", run="run", max_cost=1, **CHOICES)


def test_a_share_that_is_none_and_one_candidate_alone(vendor, server, desk):
    with pytest.raises(UsageError, match=r"expected tuning_share to be a number from 0.05 to 0.9; got 1"):
        bc.tune(vendor, "photographs", 0.9, tuning_share=1.0, max_cost=1, **CHOICES)
    tuning = bc.tune(vendor, "photographs", 0.9, candidates="pixel-variance", run="run", max_cost=1, **CHOICES)
    assert tuning.best.candidate.label == "pixel-variance@2"
    (desk / "one").mkdir()
    write_photographs(desk / "one", range(1))
    paid = server.account.paid
    with pytest.raises(bc.errors.CalibrationError, match="expected photographs to calibrate on beside"):
        bc.tune(vendor, "one", 0.9, candidates="pixel-variance", run="other", max_cost=1, **CHOICES)
    assert server.account.paid == paid


def test_a_calibration_file_says_which_run_folder_is_used(vendor, server, desk):
    calibration = bc.calibrate(vendor, "photographs", run="run", max_cost=1, **CHOICES)
    calibration.save("run/calibration.json")
    bc.mask(vendor, "input.png", "run/calibration.json", 0.9, max_cost="0.02")
    paid = server.account.paid
    bc.mask(vendor, "input.png", calibration, 0.9, run="run", max_cost="0.02")
    assert server.account.paid == paid
    assert not Path("runs").exists()


def test_results_are_short_on_the_screen(vendor, calibration):
    for value in (
        bc.audit(vendor, "unseen", calibration, [0.8, 0.9], max_cost=1),
        bc.plan(vendor, 10, **CHOICES),
        bc.compare({"a": vendor, "b": (vendor, {"draws": 3})}, "photographs", 0.9, max_cost=1, **CHOICES),
    ):
        assert len(repr(value)) < 250
        assert repr(value).startswith(f"<{type(value).__name__} ")


def test_the_report_shows_what_it_is_given(vendor, calibration):
    audit = bc.audit(vendor, "unseen", calibration, 0.9, run="run", max_cost=1)
    result = bc.mask(vendor, "input.png", calibration, 0.9, run="run", max_cost=1)
    path = bc.report("run", calibration=calibration, audit=audit, results=[result])
    page = path.read_text(encoding="utf-8")
    assert path == Path("run") / "report.html"
    assert "input" in page
    with pytest.raises(UsageError, match="expected a run folder; nowhere is none"):
        bc.report("nowhere")
    Path("run", "calibration.json").unlink()
    with pytest.raises(UsageError, match="expected a calibration in run"):
        bc.report("run")


def test_a_visit_from_python_is_one_of_the_command(vendor, calibration):
    visits = [
        bc.watch(vendor, "calibration.json", photographs, run="run", max_cost=1, max_cost_in_all=2)
        for photographs in ("photographs", ())
    ]
    assert [(visit.number, visit.state, visit.made) for visit in visits] == [(1, "watched", True), (2, "watched", True)]
    # The first visit finds out with six equal answers whether the vendor repeats itself.
    assert [visit.calls for visit in visits] == [8 + 6, 9]
    with pytest.raises(UsageError, match="fresh and alpha together"):
        bc.watch(vendor, "calibration.json", alpha=0.9, run="run", max_cost=1)
    fresh = bc.watch(vendor, "calibration.json", fresh="unseen", alpha=0.9, run="run", max_cost=1)
    assert [each.verdict for each in fresh.findings if each.layer == "harm"] == ["same"]


def test_slips_name_what_was_called_and_what_is_near(tmp_path):
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    with pytest.raises(
        UsageError, match="calibrate takes no parameter 'max_prise'; it takes accept_refusals, alpha, ask"
    ):
        bc.calibrate(vendor, tmp_path, max_prise=3)
    with pytest.raises(UsageError, match="did you mean max_cost"):
        bc.calibrate(vendor, tmp_path, max_costs=3)
    with pytest.raises(
        UsageError, match="mask takes no parameter 'qqqqqq'; it takes accept_refusals, alpha, ask, calibration"
    ):
        bc.mask(vendor, "small.png", "calibration.json", alpha=0.1, qqqqqq=1)
    with pytest.raises(UsageError, match="did you mean guarantee"):
        bc.mask(vendor, "small.png", "calibration.json", alpha=0.1, garantee="expected")


def test_a_needed_parameter_that_is_missing_is_named_with_an_example(tmp_path):
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    needed = r"mask: expected vendor, picture, calibration, alpha; got no alpha. Give alpha=0.1, the risk"
    for given, named in (((), {}), ((), {"alpha": None}), ((None,), {})):
        with pytest.raises(UsageError, match=needed):
            bc.mask(vendor, "small.png", "calibration.json", *given, **named)
    with pytest.raises(UsageError, match=r"Session: expected calibration, vendor, alpha; got no vendor. Give vendor="):
        bc.Session("calibration.json", alpha=0.1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_cost": "five"}, "expected max_cost to be an amount of US dollars such as 12.50, at least 0; got 'five'"),
        ({"max_cost": -1}, "got -1"),
        ({"max_cost": float("nan")}, "got nan"),
        ({"max_calls": 2.5}, "expected max_calls to be a whole number of at least 0; got 2.5"),
        ({"max_calls": True}, "whole number"),
        ({"max_calls": -1}, "at least 0; got -1"),
        (
            {"memory": "2"},
            "expected memory to be an amount with its unit.* such as 2GB, or in Python in bytes; got '2'",
        ),
        ({"fit": "stretch"}, "expected fit to be crop or shrink; got 'stretch'"),
        ({"draws": 0}, "expected draws to be a whole number from 1 to 4096; got 0"),
    ],
)
def test_limits_that_are_none_are_refused_by_name(tmp_path, given, said):
    PillowImage.new("RGB", (64, 64)).save(tmp_path / "one.png")
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    with pytest.raises(UsageError, match=said):
        bc.calibrate(vendor, tmp_path, **given)


def test_limits_are_exact():
    found = limits_of({"max_cost": 0.1, "max_calls": 3})
    assert (found.max_cost_usd, found.max_calls, limits_of({})) == (Decimal("0.1"), 3, Limits())


FUNCTIONS = sorted(name for name in bc.__all__ if inspect.isfunction(getattr(bc, name)))
CLASSES = sorted(name for name in bc.__all__ if inspect.isclass(getattr(bc, name)))


def callables() -> dict[str, object]:
    """Every public function and class, and every public method."""
    found: dict[str, object] = {name: getattr(bc, name) for name in FUNCTIONS}
    for name in CLASSES:
        cls = getattr(bc, name)
        if not issubclass(cls, BaseException):
            found[name] = cls
        for method, value in vars(cls).items():
            if not method.startswith("_") and callable(getattr(cls, method)) and not isinstance(value, property):
                found[f"{name}.{method}"] = getattr(cls, method)
    return found


def test_every_signature_is_readable():
    for name, function in callables().items():
        shown = str(inspect.signature(function))
        for unreadable in ("<lambda>", "<function", "numpy._typing", "_NestedSequence", "object at 0x"):
            assert unreadable not in shown, name + shown


def test_help_of_curves_shows_no_internals_of_numpy():
    shown = pydoc.plain(pydoc.render_doc(bc.RiskCurve.from_maps))
    assert "score_map: 'ArrayLike'" in shown
    assert "numpy." not in shown


@pytest.mark.parametrize("name", ["calibrate", "mask", "mask_all", "audit", "compare", "tune", "plan", "watch"])
def test_every_keyword_is_in_the_signature_and_documented(name):
    function = getattr(bc, name)
    parameters = inspect.signature(function).parameters
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    documented = {word.strip() for line in inspect.getdoc(function).splitlines() for word in line.split(",")}
    keywords = {key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert keywords - documented == set()
    assert {"progress", "run", "max_cost"} <= keywords


def test_defaults_of_keywords_are_none_or_literal():
    for name in FUNCTIONS:
        for parameter in inspect.signature(getattr(bc, name)).parameters.values():
            default = parameter.default
            assert default is parameter.empty or isinstance(default, (type(None), bool, int, float, str, tuple)), name


class Constant(SynchronousVendor):  # A vendor that is known to answer equal requests equally
    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, seed_range=None, deterministic=True)


class Doubling(SynchronousVendor):  # A vendor that only doubles
    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, scale_factors=(2,))


VENDOR = Constant(url="http://127.0.0.1:9", seedable=False)


def test_a_vendor_that_never_varies_is_not_drawn_from_twice():
    with pytest.raises(UsageError, match=r"8 draws would be one picture.*--perturbation dihedral.*leave --draws and"):
        set_up(VENDOR, draws=8)
    assert set_up(VENDOR, draws=8, perturbation="dihedral").procedure.draws == 8
    assert set_up(VENDOR).procedure.draws == 1
    assert set_up(SynchronousVendor(url="http://127.0.0.1:9"), draws=8).procedure.draws == 8


def test_a_second_vendor_without_the_scale_is_refused_with_the_scales_that_it_has():
    vendor = SynchronousVendor(url="http://127.0.0.1:9")
    with pytest.raises(UsageError, match="does not offer scale 4, only 2: give --scale 2, or another --second-adapter"):
        set_up(vendor, draws=1, score="second-opinion", second=Doubling(url="http://127.0.0.1:9"), scale=4)
