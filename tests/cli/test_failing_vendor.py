"""A calibration with a vendor of which one prediction in twenty fails: no picture is refused, and the books agree."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.command_line import called
from support.scripted_vendor import ScriptedReplicate
from support.synthetic import write_photographs

from blackbox_conformal.drawing.ledger.queries import ledger_sum

INTERRUPTED = {"status": "failed", "error": "Prediction interrupted; please retry (code: PA)", "started_at": None}
CRASHED = {
    "status": "failed",
    "error": "Director: unexpected error handling prediction (E9828)",
    "started_at": "2026-01-01T00:00:00Z",
    "metrics": {"predict_time": 2.5},
}


def one_in_twenty(state: Mapping[str, Any]) -> Callable[[int], Mapping[str, Any] | None]:
    return lambda number: state if number % 20 == 7 else None


def calibrate(folder: Path, server: ScriptedReplicate, *more: str, code: int) -> dict[str, Any]:
    vendor = ["--adapter", "replicate", "-p", "model=philz1337x/clarity-upscaler", "-p", f"url={server.url}"]
    more = ("-p", "price-usd=0.02", "-p", "poll-seconds=0.5", "--draws", "4", "--alpha", "0.1", *more)
    run = ["--run", "run", "--yes", "--json", "--concurrency", "16"]
    found = called(
        "calibrate", "photographs", *vendor, *more, *run, folder=folder, code=code, REPLICATE_API_TOKEN="r8_made_up"
    )
    document: dict[str, Any] = json.loads(found.stdout)
    return document


@pytest.mark.parametrize(
    ("state", "limit", "more", "cost"),
    [
        (INTERRUPTED, ("--max-cost", "2.10"), (), "1.92"),
        (INTERRUPTED, (), (), "1.92"),
        (CRASHED, ("--max-cost", "2.10"), ("--max-resample", "2"), "2.02"),
    ],
    ids=["interrupted", "interrupted, by consent alone", "crashed"],
)
def test_failures_of_the_vendor_cost_no_guarantee(tmp_path, state, limit, more, cost):
    write_photographs(tmp_path / "photographs", range(24))
    with ScriptedReplicate("0.02", one_in_twenty(state)) as server:
        found = calibrate(tmp_path, server, *limit, *more, code=0)
    assert (found["n"], found["failed"], server.submissions) == (24, 0, 101)
    assert found["thresholds"]["0.1"] is not None
    assert found["cost_usd"] == float(cost)
    books = ledger_sum(tmp_path / "run")
    assert books["cost_usd"] == server.billed == Decimal(cost)
