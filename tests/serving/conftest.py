"""A vendor that asks a cent a draw, and a calibration of it; a book in a file, and one in a database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gateway import calibrated
from support.postgres_server import PostgresServer, address_by_folder, postgres_or_skip

from blackbox_conformal.sampling import owned_folder
from blackbox_conformal.sampling.ledger import places
from blackbox_conformal.serving import service

BOTH = {"test_fal", "test_multipart", "test_replicate", "test_upgrade"}
"""Modules whose tests run with both kinds of book, but for those that are marked with ``sqlite``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in BOTH and metafunc.definition.get_closest_marker("sqlite") is None:
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests of one worker."""
    with postgres_or_skip() as running:
        yield running


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With ``postgres``, every run folder that a test serves from has a ledger and a book of its own in the server."""
    kind = getattr(request, "param", "sqlite")
    if kind == "postgres":
        found = address_by_folder(request.getfixturevalue("postgres"))
        for module in (places, owned_folder, service):
            monkeypatch.setattr(module, "address_of", found)
    return kind


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a calibration of one draw a picture."""
    return calibrated(tmp_path_factory.mktemp("served"))
