"""A run folder whose pictures can be marked, and its page."""

from importlib.util import find_spec

import pytest
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.pages.annotating.annotation_site import AnnotationSite
from blackbox_conformal.pages.annotating.pairs import Pairs
from blackbox_conformal.pages.viewer.local_site import LocalSite
from blackbox_conformal.study.stages.settings import set_up_as

# Collected only where a browser can be driven; `.ci/run browser` installs what that takes.
collect_ignore = [] if find_spec("playwright") and find_spec("axe_playwright_python") else ["test_page.py"]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """(calibration, setup, paths, run folder) of three photographs of 80×64 pixels with stored draws."""
    folder = tmp_path_factory.mktemp("annotating")
    paths = write_photographs(folder / "photographs", range(3))
    adapter = bc.load_adapter("embedded")
    calibration = bc.calibrate(adapter, paths, guarantee="expected", run=folder / "run")
    return calibration, set_up_as(adapter, calibration.procedure), paths, folder / "run"


@pytest.fixture(scope="session")
def pairs(drawn):
    _, setup, paths, run = drawn
    return Pairs.of_photographs(setup, paths, run)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "annotations"


@pytest.fixture
def url(pairs, folder):
    with LocalSite(AnnotationSite(pairs, folder, "ana").routes) as site, site.running() as url:
        yield url
