"""A vendor that asks a cent a draw, and a calibration of it; a book in a file, and one in a database."""

from pathlib import Path

import pytest
from support.gateway import calibrated
from support.postgres_server import database as database
from support.postgres_server import run_with_both

BOTH = {"test_fal", "test_multipart", "test_replicate", "test_upgrade"}
"""Modules whose tests run with both kinds of book, but for those that are marked with ``sqlite``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_with_both(metafunc, BOTH)


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a calibration of one draw a picture."""
    return calibrated(tmp_path_factory.mktemp("served"))
