"""The page of comparisons is the tables of the comparisons, and the adapters claim no more."""

from clients.cases import CASES, NOT_COMPARED
from clients.page import PAGE, page, versions

from blackbox_conformal.study.plugins import adapter_class
from blackbox_conformal.support import catalog


def test_the_page_is_current() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "write it again: PYTHONPATH=tests python -m clients.page"


def test_every_client_has_a_pinned_version_and_every_adapter_a_word_on_what_is_left_out() -> None:
    callers_of_the_gateway = {"litellm"}
    assert {case.client for case in CASES} == set(versions()) - callers_of_the_gateway
    assert {case.adapter for case in CASES} == set(NOT_COMPARED)


def test_adapters_that_claim_a_client_were_compared_with_it() -> None:
    claimed = {each.name for each in catalog.listings("adapters") if adapter_class(each.name).evidence == "client"}
    compared = {case.adapter for case in CASES}
    assert claimed <= compared
    assert {name for name in compared if adapter_class(name).evidence == "documents"} == set()
