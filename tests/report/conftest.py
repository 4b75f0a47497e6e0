"""Run folders that reports are made from, once for all tests."""

import pytest
from report_material import Run, make_run


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("run") / "hostile")


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("run") / "plain", hostile=False)
