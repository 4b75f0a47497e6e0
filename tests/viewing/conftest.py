"""A run folder with full-size pictures, once for all tests, and its viewer."""

from importlib.util import find_spec

import pytest
from support.viewed_run import ViewedRun, make_viewed_run

from blackbox_conformal.pages.viewer.local_site import LocalSite
from blackbox_conformal.pages.viewer.view_page import open_run

# Collected only where a browser can be driven; `.ci/run browser` installs what that takes.
collect_ignore = [] if find_spec("playwright") and find_spec("axe_playwright_python") else ["test_full_size_viewer.py"]


@pytest.fixture(scope="session")
def viewed_run(tmp_path_factory) -> ViewedRun:
    return make_viewed_run(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="session")
def viewer_url(viewed_run):
    page = open_run(viewed_run.folder, viewed_run.calibration, 0.1)
    with LocalSite(page.routes()) as site, site.running() as url:
        yield url


@pytest.fixture
def page(chromium, viewer_url):
    """The viewer in a browser; it must stay silent."""
    from support.report_browser import opened

    with opened(chromium, viewer_url) as shown:
        yield shown
