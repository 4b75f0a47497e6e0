"""The first answers are looked at before the others are bought: what is spoiled stops, what is honest costs nothing."""

import io
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.command_line import VENDOR, called
from support.spoiling_vendor import SPOILED, Spoiling, as_bytes, linear, write_crops
from support.synthetic import reduced

import blackbox_conformal as bc
from blackbox_conformal.errors import BudgetError, CheckFailedError
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.testing.pictures import encode, upscale
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Price

NAMES = ("astronaut", "casa-mila", "chelsea", "coffee", "tea-gardens", "otters")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Six photographs of 224 pixels a side."""
    folder = tmp_path_factory.mktemp("photographs")
    write_crops(folder, NAMES)
    return folder


CHOICES: dict[str, Any] = {"score": "texture", "metric": "rgb-linf", "max_cost": 1}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_spoiled_vendor_stops_after_three_answers_and_goes_on_where_it_is_meant_so(photographs, tmp_path, fault):
    change, said = SPOILED[fault]
    with Spoiling(change) as server:
        vendor = SynchronousVendor(url=server.url)
        with pytest.raises(CheckFailedError, match="check=False") as stopped:
            bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)
        assert said in str(stopped.value)
        assert server.submissions == 3
        with pytest.raises(CheckFailedError):
            bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)
        assert server.submissions == 3
        assert bc.calibrate(vendor, photographs, run=tmp_path / "run", check=False, **CHOICES).n == 6
        assert server.submissions == 6


@pytest.mark.parametrize("fault", ["linear light", "shift", "BGR"])
def test_a_spoiled_function_stops_after_three_answers(photographs, tmp_path, fault):
    calls = []

    def function(picture: np.ndarray, seed: int) -> np.ndarray:
        calls.append(picture.shape)
        good = upscale(encode(picture), 4, seed, amplitude=4)
        return as_bytes(SPOILED[fault][0](np.asarray(Image.open(io.BytesIO(good)))))

    vendor = bc.from_function("spoiled", function, test_side=0)
    with pytest.raises(CheckFailedError, match="of spoiled do not lie or look like"):
        bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)
    assert len(calls) == 3


def test_of_two_causes_every_run_names_colours_first(photographs, tmp_path):
    both = lambda answer: linear(SPOILED["shift"][0](answer))  # noqa: E731
    with Spoiling(both) as server, pytest.raises(CheckFailedError, match="as linear light where sRGB was sent"):
        bc.calibrate(SynchronousVendor(url=server.url), photographs, run=tmp_path / "run", **CHOICES)


def test_all_draws_are_counted_in_one_set(photographs, tmp_path):
    shown: list[tuple[int, int]] = []
    with Spoiling() as server:
        bc.calibrate(
            SynchronousVendor(url=server.url),
            photographs,
            run=tmp_path / "run",
            listener=lambda event: shown.append((event.counters.done, event.counters.total)),
            **CHOICES,
        )
    assert {total for _, total in shown} == {6}
    assert shown[-1] == (6, 6)


def test_of_several_draws_the_first_of_three_photographs_are_bought(photographs, tmp_path):
    choices = {**CHOICES, "score": "pixel-variance", "draws": 4}
    with Spoiling(SPOILED["BGR"][0]) as server:
        with pytest.raises(CheckFailedError):
            bc.calibrate(SynchronousVendor(url=server.url), photographs, run=tmp_path / "run", **choices)
        assert server.submissions == 3


@pytest.mark.parametrize("draws", [1, 3])
def test_an_honest_vendor_is_paid_once_and_calibrates_as_without_the_look(photographs, tmp_path, draws):
    choices = {**CHOICES, "score": "pixel-variance" if draws > 1 else "texture", "draws": draws}
    found = []
    for check in (True, False):
        with Spoiling() as server:
            vendor = SynchronousVendor(url=server.url)
            found.append(bc.calibrate(vendor, photographs, run=tmp_path / str(check), check=check, **choices))
            assert server.submissions == 6 * draws
    assert found[0].digest == found[1].digest


def test_what_the_photographs_themselves_show_beside_their_inputs_is_no_fault(photographs, tmp_path):
    """A vendor that is to lighten dark inputs lightens them; the same change of other inputs is a fault."""
    truths = [read_image(file).pixels for file in sorted(photographs.iterdir())]
    lows, dark = [reduced(truth, 4) for truth in truths], [as_bytes((truth / 255) ** 1.5 * 255) for truth in truths]
    with pytest.raises(CheckFailedError, match=r"as gamma 1\.5 does"):
        bc.calibrate(inputs=lows, outputs=dark, truths=truths, run=tmp_path / "dark", **CHOICES)
    choices = {**CHOICES, "degradation": "given", "run": tmp_path / "light"}
    softer, lows = [as_bytes(truth * 0.98) for truth in truths], [reduced(truth, 4) for truth in dark]
    assert bc.calibrate(inputs=lows, outputs=softer, truths=truths, **choices).n == 6


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
@pytest.mark.parametrize(
    ("degradation", "tint"), [("grey", (0.9, 1, 0.95)), ("noise:25", (1, 1, 1)), ("jpeg:10", (1, 1, 1))]
)
def test_vendors_of_other_tasks_are_not_stopped(photographs, tmp_path, degradation, tint):
    def function(picture: np.ndarray) -> np.ndarray:
        grey = picture.astype(float) @ np.array([0.299, 0.587, 0.114])
        nearest = min(truths, key=lambda truth: np.abs(truth @ np.array([0.299, 0.587, 0.114]) - grey).mean())
        return as_bytes(nearest * np.array(tint))

    truths = [read_image(file).pixels for file in sorted(photographs.iterdir())]
    vendor = bc.from_function("restores", function, scale=1, degradation=degradation, test_side=0)
    assert bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES).n == 6


def test_a_shift_that_is_moved_back_is_no_fault(photographs, tmp_path):
    choices = {**CHOICES, "delivery": "aligned", "score": "predicted-invention"}
    with Spoiling(SPOILED["shift"][0]) as server:
        vendor = SynchronousVendor(url=server.url)
        assert bc.calibrate(vendor, photographs, run=tmp_path / "run", **choices).n == 6
        server.change = SPOILED["BGR"][0]
        with pytest.raises(CheckFailedError):
            bc.calibrate(vendor, photographs, run=tmp_path / "other", **choices)


def test_the_screen_names_the_cause_and_what_to_type(photographs, tmp_path):
    vendor = ["--adapter", VENDOR]
    more = ["--score", "texture", "--metric", "rgb-linf", "--run", "run", "--yes"]
    with Spoiling(SPOILED["linear light"][0]) as server:
        typed = ["calibrate", str(photographs), *vendor, "-p", f"url={server.url}", *more]
        stopped = called(*typed, folder=tmp_path, code=3)
        assert "linear light where sRGB was sent (too dark)" in stopped.stderr
        assert "--no-check" in stopped.stderr
        assert server.submissions == 3
        called(*typed, "--no-check", folder=tmp_path, code=0)
        assert server.submissions == 6


def test_audit_and_compare_stop_too(photographs, tmp_path):
    parts = [sorted(photographs.iterdir())[:1], sorted(photographs.iterdir())[1:]]
    with Spoiling() as server:
        vendor = SynchronousVendor(url=server.url)
        calibration = bc.calibrate(vendor, parts[0], run=tmp_path / "run", **CHOICES)
        server.change, before = SPOILED["shift"][0], server.submissions
        with pytest.raises(CheckFailedError, match="to the right"):
            bc.audit(vendor, parts[1], calibration, 0.5, run=tmp_path / "run", stop=False, max_cost=1)
        assert server.submissions == before + 3
        other = SynchronousVendor(url=server.url, seedable=False)
        with pytest.raises(CheckFailedError, match="to the right"):
            bc.compare(
                {"one": vendor, "other": other},
                photographs,
                [0.5],
                run=tmp_path / "compared",
                metric="rgb-linf",
                max_cost=1,
            )
        assert server.submissions == before + 6


def test_claims_pilots_and_fitted_cascades_stop_too(photographs, tmp_path):
    one_by_one = {"concurrency": 1, "max_cost": 1}
    with Spoiling(SPOILED["BGR"][0]) as server:
        vendor = SynchronousVendor(url=server.url)
        with pytest.raises(CheckFailedError, match="BGR for RGB"):
            bc.audit_claim(vendor, photographs, "invented:at_most=0.2", run=tmp_path / "claim", **one_by_one)
        assert server.submissions in (2, 3), "photographs are drawn one after the other, and two answers decide"
        before = server.submissions
        with pytest.raises(CheckFailedError, match="BGR for RGB"):
            bc.plan(vendor, photographs, pilot=5, run=tmp_path / "pilot", **CHOICES)
        assert server.submissions == before + 3
        other = SynchronousVendor(url=server.url, seedable=False)
        with pytest.raises(CheckFailedError, match="BGR for RGB"):
            bc.fit_cascade(other, vendor, photographs, 0.5, run=tmp_path / "cascade", **CHOICES)
        assert server.submissions == before + 6
        bc.plan(vendor, photographs, pilot=5, run=tmp_path / "pilot", check=False, **CHOICES)
        assert server.submissions == before + 8


def test_the_commands_say_so(photographs, tmp_path):
    typed = [str(photographs), "--adapter", VENDOR, "--metric", "rgb-linf", "--yes"]
    with Spoiling(SPOILED["BGR"][0]) as server:
        typed += ["-p", f"url={server.url}"]
        claim = ["audit", *[word for word in typed if word not in ("--metric", "rgb-linf")], "--run", "claim"]
        assert "BGR for RGB" in called(*claim, "--claim", "invented:at_most=0.2", folder=tmp_path, code=3).stderr
        pilot = ["plan", *typed, "--score", "texture", "--pilot", "5", "--run", "pilot"]
        assert "--no-check" in called(*pilot, folder=tmp_path, code=3).stderr
        assert server.submissions == 6


@pytest.mark.parametrize(("spoiled", "paid"), [("cheap", (3, 0)), ("dear", (3, 3))])
def test_of_a_cascade_each_vendor_is_looked_at_before_the_rest_of_it_is_paid(photographs, tmp_path, spoiled, paid):
    with Spoiling() as cheap, Spoiling() as dear:
        servers = {"cheap": cheap, "dear": dear}
        servers[spoiled].change = SPOILED["linear light"][0]
        members = [SynchronousVendor(url=cheap.url), SynchronousVendor(url=dear.url, seedable=False)]
        # No answer suffices, so the second vendor gets all of them.
        vendor = bc.cascade(*members, rules=[{"score": "texture", "at_most": -1}])
        with pytest.raises(CheckFailedError, match="linear light where sRGB was sent"):
            bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)
        assert (cheap.submissions, dear.submissions) == paid
        servers[spoiled].change = lambda answer: answer
        assert bc.calibrate(vendor, photographs, run=tmp_path / "run", check=False, **CHOICES).n == 6
        assert (cheap.submissions, dear.submissions) == (6, 6)


@pytest.mark.parametrize(("spoiled", "paid"), [("first", (3, 0)), ("second", (3, 3)), (None, (6, 6))])
def test_a_second_vendor_is_paid_after_the_look_at_the_first_and_looked_at_itself(photographs, tmp_path, spoiled, paid):
    with Spoiling() as one, Spoiling() as other:
        if spoiled is not None:
            {"first": one, "second": other}[spoiled].change = SPOILED["greyscale"][0]
        second = SynchronousVendor(url=other.url, seedable=False)
        choices = {**CHOICES, "score": "second-opinion", "second_adapter": second, "run": tmp_path / "run"}
        if spoiled is None:
            assert bc.calibrate(SynchronousVendor(url=one.url), photographs, **choices).n == 6
        else:
            with pytest.raises(CheckFailedError, match="greyscale"):
                bc.calibrate(SynchronousVendor(url=one.url), photographs, **choices)
        assert (one.submissions, other.submissions) == paid


def test_of_compared_vendors_the_second_is_looked_at_before_the_rest_of_it_is_paid(photographs, tmp_path):
    with Spoiling() as good, Spoiling(SPOILED["shift"][0]) as moved:
        vendors = {"good": SynchronousVendor(url=good.url), "moved": SynchronousVendor(url=moved.url, seedable=False)}
        with pytest.raises(CheckFailedError, match="to the right"):
            bc.compare(vendors, photographs, [0.5], run=tmp_path / "run", metric="rgb-linf", max_cost=1)
        assert (good.submissions, moved.submissions) == (6, 3)


def test_a_vendor_that_gets_only_later_photographs_of_a_cascade_is_looked_at(photographs, tmp_path):
    others = [one for one in demo_photographs() if one.name not in NAMES][:3]
    for place, photograph in enumerate(others):
        # The cheap vendor's answers to the first three, which are smooth, suffice.
        smooth = Image.fromarray(read_image(photograph.path).pixels[:224, :224]).filter(ImageFilter.GaussianBlur(9))
        smooth.save(tmp_path / f"a{place}.png")
    for file in photographs.iterdir():
        shutil.copy(file, tmp_path / f"b-{file.name}")
    files = sorted(tmp_path.iterdir())
    with Spoiling() as cheap, Spoiling(SPOILED["BGR"][0]) as dear:
        members = [SynchronousVendor(url=cheap.url), SynchronousVendor(url=dear.url, seedable=False)]
        vendor = bc.cascade(*members, rules=[{"score": "texture", "at_most": 0.001}])
        with pytest.raises(CheckFailedError, match="BGR for RGB"):
            bc.calibrate(vendor, files, run=tmp_path / "run", **CHOICES)
        assert (cheap.submissions, dear.submissions) == (9, 3)


class Ranged(SynchronousVendor):
    """A vendor whose price is known only within a range, so that a budget may end before the first three answers."""

    @property
    def capabilities(self):
        return replace(super().capabilities, price=Price(Decimal("0.01"), Decimal("0.04"), "its price list"))


@pytest.mark.parametrize(("spoiled", "error"), [(True, CheckFailedError), (False, BudgetError)])
def test_a_budget_that_ends_among_the_first_names_what_they_show(photographs, tmp_path, spoiled, error):
    with Spoiling(SPOILED["BGR"][0] if spoiled else lambda answer: answer) as server:
        vendor = Ranged(url=server.url)
        with pytest.raises(error, match="BGR for RGB" if spoiled else "raise --max-cost"):
            bc.calibrate(vendor, photographs, run=tmp_path / "run", **{**CHOICES, "max_cost": "0.08"})
        assert server.submissions == 2
        choices = {**CHOICES, "max_cost": "0.24", "check": not spoiled}
        assert bc.calibrate(vendor, photographs, run=tmp_path / "run", **choices).n == 6
        assert server.submissions == 6


@pytest.mark.parametrize("limit", [{"max_cost": "0.03"}, {"max_calls": 3}])
def test_a_budget_for_the_first_three_alone_buys_nothing(photographs, tmp_path, limit):
    with Spoiling(SPOILED["BGR"][0]) as server:
        with pytest.raises(BudgetError, match="nothing was sent"):
            bc.calibrate(
                SynchronousVendor(url=server.url),
                photographs,
                run=tmp_path / "run",
                **{"score": "texture", "metric": "rgb-linf", **limit},
            )
        assert server.submissions == 0
