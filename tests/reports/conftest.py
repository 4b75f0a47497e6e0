"""Run folders that reports are made from, once for all tests."""

from importlib.util import find_spec

import pytest
from support.report_material import Run, make_run

from blackbox_conformal.pages.report.html import write_report

# Collected only where a browser can be driven; `.ci/run browser` installs what that takes.
collect_ignore = [] if find_spec("playwright") else ["test_browser.py", "test_viewer.py"]
collect_ignore += [] if find_spec("playwright") and find_spec("axe_playwright_python") else ["test_axe.py"]


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("run") / "hostile")


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("run") / "plain", hostile=False)


@pytest.fixture(scope="session")
def hostile_report(hostile_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "hostile.html"
    return write_report(
        hostile_run.folder, hostile_run.calibration, hostile_run.audit, hostile_run.results, path, alpha=0.1
    )


@pytest.fixture(scope="session")
def plain_report(plain_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "plain.html"
    return write_report(plain_run.folder, plain_run.calibration, plain_run.audit, plain_run.results, path, alpha=0.1)


@pytest.fixture
def page(chromium, plain_report):
    """The plain report in a browser; it must stay silent."""
    from support.report_browser import opened

    with opened(chromium, plain_report) as shown:
        yield shown
