"""The static contract on an example's failures and on declared limits: each way of breaking it is found."""

from dataclasses import replace
from typing import ClassVar

import pytest

from blackbox_conformal.errors import RefusedError, VendorFailedError
from blackbox_conformal.study.stages.prepare import misfit, too_many_bytes
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.testing.static_contract import beyond
from blackbox_conformal.vendor.adapter import Capabilities, Draw, Flow, Upload
from blackbox_conformal.vendor.example import Example


class Unshown(JobVendor):
    """Knows its vendor's failures, and shows none."""

    example: ClassVar[Example] = replace(JobVendor.example, failures=())


class Boasting(SynchronousVendor):
    """Shows a failure that it does not say it knows."""

    example: ClassVar[Example] = replace(SynchronousVendor.example, failures=JobVendor.example.failures)


class Blaming(JobVendor):
    """Takes the vendor's failure for a refusal of the picture."""

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            return (yield from super().resume(upload, draw, job))
        except VendorFailedError as error:
            raise RefusedError(str(error)) from None


class Twin(JobVendor):
    """Shows a failure of the same job as its picture."""

    example: ClassVar[Example] = replace(
        JobVendor.example, failures=((JobVendor.example.answers[0], JobVendor.example.failures[0][1]),)
    )


class Lingering(JobVendor):
    """Shows an answer after the failure that nothing asks for."""

    example: ClassVar[Example] = replace(
        JobVendor.example, failures=((*JobVendor.example.failures[0], JobVendor.example.answers[1]),)
    )


class Boundless(SynchronousVendor):
    """Declares a limit that no picture breaks."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_aspect=float("nan"))


class Unkept(SynchronousVendor):
    """Declares limits that no picture keeps."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, min_side=64, max_side=32)


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        (Unshown, "fails", "`failures` in the example"),
        (Boasting, "fails", "and of no other"),
        (Blaming, "fails", "VendorFailedError; got RefusedError"),
        (Twin, "fails", "of another job"),
        (Lingering, "fails", "expected 3 requests"),
        (Boundless, "refuses unfit", "max_aspect=nan"),
        (Unkept, "refuses unfit", "limits that a picture can keep"),
    ],
)
def test_each_broken_promise_is_found_by_its_own_check(kind, check, message):
    found = {result.name: result.detail for result in check_adapter(kind, faults=False) if not result.passed}
    assert set(found) == {check}
    assert message in found[check]


LIMITED = Capabilities(
    (4,),
    min_side=5,
    max_side=90,
    max_input_pixels=5000,
    max_output_pixels=70_000,
    min_output_side=24,
    max_output_side=330,
    max_aspect=2.5,
    max_upload_bytes=9000,
)


@pytest.mark.parametrize("limit", [name for name, _ in beyond(LIMITED, 4)])
def test_a_picture_beyond_a_limit_breaks_that_limit(limit):
    broken = dict(beyond(LIMITED, 4))[limit]
    alone = Capabilities((4,), **{limit: getattr(LIMITED, limit)})
    assert misfit(broken.width, broken.height, alone, 4) or too_many_bytes(broken, alone)


def test_every_limit_of_a_picture_has_one_beyond_it():
    limits = {name for name in Capabilities.__dataclass_fields__ if name.startswith(("min_", "max_"))}
    assert {name for name, _ in beyond(LIMITED, 4)} == limits - {"max_concurrency"}
