"""Run folders that reports are made from, once for all tests."""

from importlib.util import find_spec

import pytest
from report_material import Run, make_run

# Collected only where a browser can be driven; `.ci/run browser` installs what that takes.
collect_ignore = [] if find_spec("playwright") else ["test_browser.py"]


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("run") / "hostile")


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("run") / "plain", hostile=False)
