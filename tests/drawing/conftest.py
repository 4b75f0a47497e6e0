"""Most tests of drawing run twice: with a ledger in the run folder, and with one in a database of the test's own."""

import pytest
from support.postgres_server import PostgresServer, run_with_both
from support.postgres_server import database as database
from support.postgres_server import postgres as postgres

from blackbox_conformal.drawing.ledger.addresses import LEDGERS, Address

BOTH = {
    "test_attempt_ledger",
    "test_attempts",
    "test_crash",
    "test_payers",
    "test_queries",
    "test_sampler",
}
"""Modules whose tests run with both kinds of ledger, but for those that are marked with ``sqlite``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_with_both(metafunc, BOTH)


@pytest.fixture
def address(postgres: PostgresServer) -> Address:
    """The ledger of a test's own in the server."""
    return LEDGERS.name(postgres.new_database())
