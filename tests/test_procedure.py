"""The fingerprint: equal procedures agree, any difference is named, seeds are where the vendor wants them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackbox_conformal.documents.procedure import NO_MEMORY, Procedure
from blackbox_conformal.errors import ProcedureMismatchError

BASE = {
    "vendor": {"adapter": "http", "adapter_version": 1, "parameters": {"model": "a", "steps": 20}},
    "scale": 4,
    "draws": 8,
    "score": {"name": "pixel-variance"},
    "metric": {"name": "lab-l1", "kernel": "gaussian", "sigma": 4.0},
}


def test_equal_procedures_have_equal_fingerprints() -> None:
    reordered = dict(reversed(BASE["vendor"].items()))
    assert Procedure(**BASE).fingerprint == Procedure(**{**BASE, "vendor": reordered}).fingerprint


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("draws", 9, "draws: 8 → 9"),
        ("scale", 2, "scale: 4 → 2"),
        ("delivery", "mean", "delivery: 'first' → 'mean'"),
        ("delivery", "consistent:steps=3", "delivery: 'first' → 'consistent:steps=3'"),
        ("perturbation", "dihedral", "perturbation: None → 'dihedral'"),
        ("metric", {"name": "lab-l1", "kernel": "gaussian", "sigma": 5.0}, "metric.sigma: 4.0 → 5.0"),
        (
            "vendor",
            {"adapter": "http", "adapter_version": 1, "parameters": {"model": "b", "steps": 20}},
            "vendor.parameters.model: 'a' → 'b'",
        ),
        ("image_rules", 2, "image_rules: 1 → 2"),
    ],
)
def test_any_difference_changes_the_fingerprint_and_is_named(field: str, value: object, named: str) -> None:
    ours, other = Procedure(**BASE), Procedure(**{**BASE, field: value})
    assert ours.fingerprint != other.fingerprint
    with pytest.raises(ProcedureMismatchError) as caught:
        ours.require(other)
    assert named in str(caught.value)


@given(st.integers(0, 2**31), st.text(), st.integers(0, 4000), st.integers(-5, 5), st.integers(0, 1000))
def test_per_image_seeds_lie_in_the_vendors_range_and_follow_from_the_picture(
    root: int, picture: str, index: int, low: int, span: int
) -> None:
    procedure = Procedure(**BASE)
    seed = procedure.seed(picture, index, (low, low + span))
    assert seed is not None
    assert low <= seed <= low + span
    assert seed == procedure.seed(picture, index, (low, low + span))


def test_per_image_seeds_differ_between_pictures_and_draws() -> None:
    procedure = Procedure(**BASE)
    seeds = {procedure.seed(f"picture {p}", k, (0, 2**32 - 1)) for p in range(20) for k in range(20)}
    assert len(seeds) == 400


def test_shared_seeds_are_the_same_for_every_picture_and_differ_between_draws() -> None:
    procedure = Procedure(**BASE, seeds="shared", first_seed=7)
    assert [procedure.seed("a", k, (0, 100)) for k in range(3)] == [7, 8, 9]
    assert procedure.seed("b", 2, (0, 100)) == 9


def test_a_vendor_without_seeds_gets_none() -> None:
    assert Procedure(**BASE).seed("a", 0, None) is None


def test_how_inputs_are_made_is_an_assumption_also_where_a_step_is_not_installed() -> None:
    made = "Inputs are made like those of the calibration: "
    for degradation, named in (
        ("area:factor=4+jpeg:quality=60-95,subsampling=4:2:0", "area:4+jpeg:60-95"),
        ("rain:drops=3", "rain:drops=3"),
    ):
        procedure = Procedure(**{**BASE, "degradation": degradation})
        assert procedure.assumptions == (f"{made}{named}.", NO_MEMORY)
        (first, second, third) = procedure.model_copy(update={"fit": "crop"}).assumptions
        assert (first, second) == (f"{made}{named}.", NO_MEMORY)
        assert "cropped to their middle" in third


def test_every_procedure_takes_for_granted_that_the_vendor_remembers_nothing() -> None:
    (sentence,) = [one for one in Procedure(**BASE).assumptions if "no memory of a session" in one]
    assert "no adaptation to earlier pictures changes it" in sentence


def test_a_declared_degradation_is_compared_with_every_parameter() -> None:
    procedure = Procedure(**{**BASE, "degradation": "area:factor=4+jpeg:quality=60-95"})
    for same in ("area+jpeg:60-95", "area:4+jpeg:60-95,subsampling=4:2:0"):
        procedure.require_degradation(same)
    for other in ("bicubic+jpeg:60-95", "area+jpeg:60-94", "area+jpeg:60-95,subsampling=4:4:4", "area"):
        with pytest.raises(ProcedureMismatchError, match=r"made by area:4\+jpeg:60-95; got --degradation"):
            procedure.require_degradation(other)
