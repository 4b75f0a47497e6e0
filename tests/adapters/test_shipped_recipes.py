"""What shipped recipes make of their vendors' failures, prices and limits."""

import pytest
from support.flow_driver import refused, refused_by, unresumed

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import (
    AccountRefusedError,
    RefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.example import says


@pytest.mark.parametrize("name", ["bria", "bria_increase_resolution"])
def test_bria_calls_its_own_internal_errors_unknown(name: str) -> None:
    unknown = unresumed(name, "x", says('{"status":"UNKNOWN","error":{"code":500,"message":"m","details":"internal"}}'))
    assert type(unknown) is VendorFailedError
    moderated = unresumed(name, "x", says('{"status":"ERROR","error":{"code":5,"message":"m","details":"moderated"}}'))
    assert isinstance(moderated, RefusedError)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(402, AccountRefusedError), (429, TryLaterError), (422, RefusedError), (500, VendorFailedError)],
)
def test_wavespeed_tells_failures_under_http_200(code: int, expected: type) -> None:
    error = refused("wavespeed", says(f'{{"code":{code},"message":"the words","data":null}}'))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))
    if code != 429:
        assert type(unresumed("wavespeed", "8f1d", says(f'{{"code":{code},"message":"m"}}'))) is expected


def test_ideogram_bills_a_picture_that_its_filter_withholds() -> None:
    unsafe = refused("ideogram", says('{"data":[{"url":"","is_image_safe":false}]}'))
    assert isinstance(unsafe, RefusedError)
    assert unsafe.billed


def test_claid_names_the_request_to_its_support() -> None:
    error = refused_by(
        Recipe(recipe="claid", url="http://127.0.0.1:9"),
        says(
            '{"error_type":"validation_error","error_code":"9000","error_message":"too small"}', 422, x_request_id="r-1"
        ),
    )
    assert (error.request_id, error.code) == ("r-1", "9000")
