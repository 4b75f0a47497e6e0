"""Prices by size, from the price list to the ledger, against servers that bill as vendors do."""

import base64
import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.draws import Drawn, an_upload, draw
from support.recording_server import RecordingServer

from blackbox_conformal.drawing.spending.prices import require_price
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.vendor.adapter import Adapter, Upload

PICTURES = itertools.count()


@pytest.fixture(autouse=True)
def _made_up_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "TOPAZ_API_KEY", "FREEPIK_API_KEY", "REPLICATE_API_TOKEN"):
        monkeypatch.setenv(name, "made-up-key")


def a_picture() -> str:
    """A data link to bytes that no other answer has; nobody decodes them here."""
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG %d" % next(PICTURES)).decode()


def says(value: Any, **headers: str) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(value).encode()).with_headers(**headers)


def bought(adapter: Adapter, run: Path, draws: int, size: tuple[int, int], **limits: Any) -> Drawn:
    """`draws` draws of one upload that is said to be of this size."""
    given = an_upload()
    upload = Upload(given.name, given.digest, given.png, *size)
    work = [Task(upload, index, index + 1) for index in range(draws)]
    return draw(adapter, run, work, look=lambda content, task: None, **limits)


def fal(**headers: str) -> Callable[[Head], Response]:
    """Its queue, with requests that are completed at once."""

    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"request_id": f"r{next(PICTURES)}"})
        if head.path.endswith("/status"):
            return says({"status": "COMPLETED"})
        return says({"image": {"url": a_picture()}}, **headers)

    return answer


def test_a_small_picture_of_fal_topaz_costs_its_lowest_price(tmp_path):
    with RecordingServer(fal()) as server:
        adapter = load_adapter("fal", url=server.url, model="fal-ai/topaz/upscale/image", scale=4)
        drawn = bought(adapter, tmp_path / "run", 8, (64, 48), max_cost_usd=Decimal(2))
    assert (drawn.error, drawn.states) == (None, ["stored"] * 8)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.08")] * 8


def test_the_units_that_fal_counts_are_its_bill(tmp_path):
    with RecordingServer(fal(**{"X-Fal-Billable-Units": "2.5"})) as server:
        parameters = {"url": server.url, "model": "fal-ai/clarity-upscaler", "scale": 4}
        drawn = bought(load_adapter("fal", **parameters), tmp_path / "run", 1, (640, 480))
        given = bought(load_adapter("fal", **parameters, usd_per_unit="0.02"), tmp_path / "given", 1, (640, 480))
        topaz = load_adapter("fal", **parameters | {"model": "fal-ai/topaz/upscale/image"})
        listed = bought(topaz, tmp_path / "listed", 1, (640, 480))
    assert [each.outcomes[0].cost_usd for each in (drawn, given, listed)] == [
        Decimal("0.075"),
        Decimal("0.05"),
        Decimal("0.08"),
    ]


def test_the_seconds_that_replicate_tells_are_its_bill(tmp_path):
    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"id": "p1", "status": "starting"})
        if "/models/" in head.path:
            return says({"latest_version": {"id": "ab" * 32}})
        return says({"id": "p1", "status": "succeeded", "output": a_picture(), "metrics": {"predict_time": 11.2}})

    with RecordingServer(answer) as server:
        parameters = {"url": server.url, "model": "csslc/ccsr", "price_usd": "0.05"}
        drawn = bought(load_adapter("replicate", **parameters), tmp_path / "run", 1, (640, 480))
        exact = load_adapter("replicate", **parameters, usd_per_second="0.001400")
        told = bought(exact, tmp_path / "told", 1, (640, 480), max_cost_usd=Decimal(1))
    assert [each.outcomes[0].cost_usd for each in (drawn, told)] == [Decimal("0.05"), Decimal("0.01568")]


def topaz(credits_each: int) -> Callable[[Head], Response]:
    """Topaz's jobs, which are completed at once and tell their credits."""

    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"process_id": f"p{next(PICTURES)}"})
        if "/download/" in head.path:
            return says({"download_url": a_picture()})
        return says({"status": "Completed", "credits": credits_each})

    return answer


@pytest.mark.parametrize("concurrency", [1, 4, 10, "auto"])
def test_topaz_bloom_never_exceeds_the_limit_at_any_concurrency(tmp_path, concurrency):
    with RecordingServer(topaz(9)) as server:
        adapter = load_adapter("topaz", url=server.url, model="Bloom 2", scale=4, usd_per_credit="0.10")
        most = Decimal(5)
        drawn = bought(adapter, tmp_path / "run", 10, (1024, 1024), max_cost_usd=most, concurrency=concurrency)
        # Nine credits are known beforehand: no draw is bought to learn of them.
        nothing = bought(adapter, tmp_path / "nothing", 1, (1024, 1024), max_cost_usd=Decimal("0.89"))
    assert isinstance(drawn.error, BudgetError)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.90")] * 5
    assert (nothing.outcomes, type(nothing.error)) == ([], BudgetError)


def test_magnific_books_a_small_picture_at_its_two_steps(tmp_path):
    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"data": {"task_id": f"t{next(PICTURES)}", "status": "CREATED"}})
        return says({"data": {"task_id": "t", "status": "COMPLETED", "generated": [a_picture()]}})

    with RecordingServer(answer) as server:
        adapter = load_adapter("magnific", url=server.url, mode="precision", scale=4)
        limit = {"max_cost_usd": Decimal(20)}
        drawn = bought(adapter, tmp_path / "run", 8, (64, 48), **limit)
        cheaper = adapter.model_copy(update={"usd_per_eur": Decimal("1.17")})
        other = bought(cheaper, tmp_path / "other", 1, (64, 48), **limit)
    assert (drawn.error, drawn.states) == (None, ["stored"] * 8)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.34034")] * 8
    assert other.outcomes[0].cost_usd == Decimal("0.33462")


def test_a_missing_price_that_the_vendor_tells_on_request_is_said_to_be_there():
    with pytest.raises(BudgetError, match=r"with your vendor's price \(price_usd in Python\), or give --max-calls"):
        require_price(load_adapter("replicate", model="csslc/ccsr"), None)
    with pytest.raises(BudgetError, match=r"\(price_usd in Python\), which plan --quote asks for, or give"):
        require_price(load_adapter("ideogram-v2"), None)
